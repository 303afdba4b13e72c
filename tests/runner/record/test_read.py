"""A record is read into its type, strictly, and what is written of that is the record again."""

from __future__ import annotations

import copy
import functools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from runner.cell.fieldtypes import ABSENT
from runner.cell.jsonform import to_json
from runner.errors import BadRecord
from runner.record import read, record, schema, spool
from runner.record.sections.gate import GateVersion1, GateVersion2
from runner.record.sessionrecord import FailedRecord, MeasuredRecord
from tests.support.energies import energy_record
from tests.support.records import cpu_record, example_record, failed_record, of_gate_version_1, packed_record
from tests.support.verify import tail_long

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = Draft202012Validator(json.loads((ROOT / "docs" / "record.schema.json").read_text(encoding="utf-8")))
PATHS = [path for folder in ("records", "gate") for path in spool.record_files(ROOT / "experiments" / folder)]
CONTAINER = {"engine": "docker", "image": "an-image", "digest": f"sha256:{'0' * 64}", "tree_key": ""}
Json = dict[str, Any]


def canonical(found: Json) -> str:
    return json.dumps(found, sort_keys=True)


@pytest.mark.medium
def test_every_committed_record_is_written_as_it_was_read() -> None:
    assert len(PATHS) >= 226
    for path in PATHS:
        found = record.read(path)
        assert canonical(to_json(read.from_json(found, path.name))) == canonical(found), path.name


KINDS: dict[str, Callable[[], Json]] = {
    "measured": example_record,
    "dynamic cache": lambda: example_record(cell={"cache": "dynamic"}),
    "packed weights": packed_record,
    "in a container": lambda: example_record(container=CONTAINER),
    "on a CPU": cpu_record,
    "gate version 1": lambda: of_gate_version_1(example_record()),
    "failed": failed_record,
    "oom": lambda: failed_record("oom", container=CONTAINER),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_of_each_kind_is_written_as_it_was_read(kind: str) -> None:
    found = KINDS[kind]()
    assert read.faults(found) == []
    assert SCHEMA.is_valid(found)
    assert canonical(to_json(read.from_json(found, "x"))) == canonical(found)


def test_a_file_is_read_into_its_type(tmp_path: Path) -> None:
    record.write(example_record(), tmp_path / "x.json")
    found = read.from_file(tmp_path / "x.json")
    assert isinstance(found, MeasuredRecord)
    assert isinstance(found.gate, GateVersion2)
    assert found.cell.ctx == 2048
    assert found.passes.wall.steps_ms == tuple(example_record()["passes"]["wall"]["steps_ms"])
    assert found.passes.revisit is ABSENT
    assert found.cost_s.import_ == 4.8
    record.write(failed_record(), tmp_path / "x.json")
    assert isinstance(read.from_file(tmp_path / "x.json"), FailedRecord)


def test_the_gate_s_version_tells_its_type() -> None:
    found = read.from_json(of_gate_version_1(example_record()), "x")
    assert isinstance(found, MeasuredRecord)
    assert isinstance(found.gate, GateVersion1)


def test_absent_and_null_stay_apart() -> None:
    absent, null = cpu_record(), cpu_record(gpu={"last_level_cache_bytes": None})
    read_absent, read_null = read.from_json(absent, "x"), read.from_json(null, "x")
    assert read_absent.gpu.last_level_cache_bytes is ABSENT
    assert read_null.gpu.last_level_cache_bytes is None
    assert not ABSENT
    assert "last_level_cache_bytes" not in to_json(read_absent)["gpu"]
    assert to_json(read_null)["gpu"]["last_level_cache_bytes"] is None


def test_a_number_stays_as_it_was_written() -> None:
    found = example_record()
    found["gpu"]["bandwidth_gbs"], found["prefill"]["ms"] = 4800, 61
    again = to_json(read.from_json(found, "x"))
    assert [repr(again["gpu"]["bandwidth_gbs"]), repr(again["prefill"]["ms"])] == ["4800", "61"]
    assert repr(again["probes"]["read_gbs"]) == repr(found["probes"]["read_gbs"])


def put(place: str, value: Any) -> Callable[[Json], None]:
    def change(found: Json) -> None:
        *parents, leaf = place.split(".")
        target: Any = found
        for part in parents:
            target = target[int(part) if part.isdigit() else part]
        target[int(leaf) if leaf.isdigit() else leaf] = value

    return change


DAMAGES = [
    ("cell.ctx", "2048", "cell.ctx: '2048' is not of type integer"),
    ("cell.ctx", 2048.0, "cell.ctx: 2048.0 is not of type integer"),
    ("cell.ctx", True, "cell.ctx: True is not of type integer"),
    ("cell.ctx", 0, "cell.ctx: 0 is below 1"),
    ("cell.ctx", 10**400, "cell.ctx: 10000"),
    ("cell.dtype", "fp7", "cell.dtype: 'fp7' is not bf16 or fp16 or fp32"),
    ("cell.two\nlines", 1, "cell.'two\\nlines': a record has no such field"),
    ("cell.options", {"sym": True}, "cell.options.sym: True is not of type string"),
    ("schema_version", 1.0, "schema_version: 1.0 is not of type integer"),
    ("schema_version", True, "schema_version: True is not of type integer"),
    ("valid", 1, "valid: 1 is not of type boolean"),
    ("flags", ["a", "a"], "flags: ['a', 'a'] has an item twice"),
    ("passes", None, "passes: None is not of type object"),
    ("passes.wall", [], "passes.wall: [] is not of type object"),
    ("passes.wall.captured", None, "passes.wall.captured: None is not of type integer"),
    ("passes.wall.steps_ms.3", 0, "passes.wall.steps_ms[3]: 0 is not above 0"),
    ("passes.wall.steps_ms.3", "5", "passes.wall.steps_ms[3]: '5' is not of type number"),
    ("passes.wall.steps_ms", [], "passes.wall.steps_ms: 0 items, expected at least 1"),
    ("passes.wall.steps_ms", {}, "passes.wall.steps_ms: {} is not of type array"),
    ("passes.wall.windows_us", [[1]], "passes.wall.steps_ms: only a pass with a single window has it"),
    ("prefill.ms", math.nan, "prefill.ms: nan is not of type number"),
    ("prefill.ms", math.inf, "prefill.ms: inf is not of type number"),
    ("prefill.ms", 10**400, "prefill.ms: "),
    ("gate.checks.0.trusted.1", -0.5, "gate.checks[0].trusted[1]: -0.5 is below 0"),
    ("gate.gate_version", 3, "gate.gate_version: 3 is not 2"),
    ("gate", [], "gate: [] is not of type object"),
    ("gate", None, "gate: None is not of type object"),
    ("gate", "without", "gate: 'without' is not of type object"),
    ("gate.with", {"checks": 5}, "gate.with: a record has no such field"),
    ("gate.ratio", "x", "gate.ratio: 'x' is not of type number or null"),
    ("snapshots.before.throttle_reasons.0", 1, "snapshots.before.throttle_reasons[0]: 1 is not of type string"),
    ("snapshots.before.throttle_reasons", 1, "snapshots.before.throttle_reasons: 1 is not of type array or null"),
    ("snapshots.before.ecc", [], "snapshots.before.ecc: [] is not of type object or null"),
    ("memory.verify_extra_bytes", "1", "memory.verify_extra_bytes: '1' is not of type integer or null"),
    ("actual.settings", {"scratch_bytes": 1}, "actual.settings.scratch_bytes: 1 is not of type string"),
    ("keys.env_key", "xyz", "keys.env_key: 'xyz' does not match ^[0-9a-f]{12}$"),
    ("keys.env_key", "0" * 12 + "\n", "keys.env_key: '000000000000\\n' does not match"),
    ("keys.code_files", "cell/cell.py", "keys.code_files: 'cell/cell.py' is not of type array"),
    ("keys.code_files", [], "keys.code_files: 0 items, expected at least 1"),
    ("keys.code_files", [1], "keys.code_files[0]: 1 is not of type string"),
    ("keys.code_files", ["job.py", "/home/me/job.py"], "keys.code_files[1]: '/home/me/job.py' does not match ^[A-Za"),
    ("keys.code_files", ["cell/../../setup.py"], "keys.code_files[0]: 'cell/../../setup.py' does not match ^[A-Za"),
    ("keys.code_files", ["job.py", "job.py"], "keys.code_files: ['job.py', 'job.py'] has an item twice"),
    ("cost_s.import_", 1.0, "cost_s.import_: a record has no such field"),
    ("surprise", "\x1b[31m" + "x" * 10_000, "surprise: a record has no such field"),
    ("outcome", [], "outcome: [] is not of type object"),
]


@pytest.mark.parametrize(("place", "value", "line"), DAMAGES, ids=[line[:50] for _, _, line in DAMAGES])
def test_what_is_not_of_its_type_is_named_with_its_place(place: str, value: Any, line: str) -> None:
    found = example_record()
    put(place, value)(found)
    (fault,) = read.faults(found)
    assert fault.startswith(line)
    assert len(fault) < 150
    assert "\n" not in fault
    assert "\x1b" not in fault


@pytest.mark.parametrize(
    "place",
    [
        *("cell.options", "model.shape", "passes.wall", "limits", "keys.env_key", "session.finished_ms", "floor"),
        *("model.scheme.sym", "gate.stated_ratio"),
    ],
)
def test_what_is_missing_is_named(place: str) -> None:
    found = packed_record()
    *parents, leaf = place.split(".")
    target = found
    for part in parents:
        target = target[part]
    del target[leaf]
    assert read.faults(found) == [f"{place} is missing"]


def test_of_an_array_the_first_fault_is_named() -> None:
    found = example_record()
    found["passes"]["wall"]["steps_ms"] = [0, -1, "x"]
    found["gate"]["checks"][0]["errors"][2] = found["gate"]["checks"][1]["errors"][0] = None
    assert read.faults(found) == [
        "passes.wall.steps_ms[0]: 0 is not above 0",
        "gate.checks[0].errors[2]: None is not of type number",
    ]


HOLDS = "outcome.status: failed, though the record has a measurement "


def test_what_only_a_measured_session_has_is_one_line_in_another() -> None:
    found = failed_record()
    found["session"]["finished_ms"], found["keys"]["env_key"] = 1, "0" * 12
    assert read.faults(found) == [f"{HOLDS}(session.finished_ms, keys.env_key)"]
    found |= {name: example_record()[name] for name in ("floor", "passes")} | {"valid": 0}
    assert read.faults(found) == [f"{HOLDS}(floor, passes)", "valid: 0 is not of type boolean"]


TOO_DEEP: list[Any] = functools.reduce(lambda inner, _: [inner], range(300), [])


@pytest.mark.parametrize("value", ["\ud800", TOO_DEEP], ids=["half a character", "too deep"])
def test_what_the_reader_takes_for_no_json_is_one_line(value: Any) -> None:
    (fault,) = read.faults(example_record() | {"host": value})
    assert fault.startswith("the record: cannot be read as JSON: ")


@pytest.mark.medium
def test_what_only_the_other_version_of_the_gate_has_is_named() -> None:
    newer, older = example_record(), of_gate_version_1(example_record())
    newer["gate"]["noise"], older["gate"]["rows"] = 0.002, newer["gate"]["rows"]
    assert read.faults(newer) == ["gate.noise: only version 1 of the gate has it"]
    assert read.faults(older) == ["gate.rows: only version 2 of the gate has it"]


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    found = example_record()
    found["cell"]["ctx"] = "2048"
    record.write(found, tmp_path / "x.json")
    with pytest.raises(BadRecord) as caught:
        read.from_file(tmp_path / "x.json")
    assert (
        str(caught.value)
        == f"{tmp_path}/x.json: damaged record: cell.ctx: '2048' is not of type integer: {record.RESTORE}"
    )
    found["valid"] = None
    record.write(found, tmp_path / "x.json")
    with pytest.raises(BadRecord, match=r"is not of type integer \(and 1 more\)"):
        read.from_file(tmp_path / "x.json")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, True, "1", None])
def test_a_number_is_finite(value: Any) -> None:
    found = example_record()
    found["prefill"]["ms"] = value
    (fault,) = read.faults(found)
    assert fault.startswith("prefill.ms: ")
    assert fault.endswith(" is not of type number")


def test_a_long_value_is_cut_and_control_characters_are_escaped() -> None:
    found = example_record()
    found["cell"]["dtype"] = "\x1b[31m" + "x" * 10_000
    (fault,) = read.faults(found)
    assert len(fault) < 150
    assert "\x1b" not in fault


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yields container and key of everything in a record."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from places(item)


# no float that is a whole number: JSON Schema takes it for an integer, and a record is written by one who knows
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(-2, 2).filter(lambda value: value != int(value)),
    st.text(max_size=3),
    st.sampled_from([[], {}, [1], ["a", "a"], {"a": 1}, "measured", "bf16", "0" * 12]),
)
IS_OF_ANOTHER_KIND = re.compile(": only .* has it$|, though the record has a measurement")
RECORDS = [make() for make in KINDS.values()]


@pytest.mark.medium
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_the_schema_refuses_the_reader_refuses(data: st.DataObject) -> None:
    """The reader is the stricter one where a section is of two kinds: it takes no field of the other kind."""
    found = copy.deepcopy(data.draw(st.sampled_from(RECORDS)))
    for _ in range(data.draw(st.integers(1, 2))):
        container, key = data.draw(st.sampled_from(list(places(found))))
        if isinstance(container, dict) and data.draw(st.booleans()):
            del container[key]
        else:
            container[key] = data.draw(VALUES)
    faults = read.faults(found)
    if not SCHEMA.is_valid(found):
        assert faults
    else:
        assert all(IS_OF_ANOTHER_KIND.search(fault) for fault in faults), faults


WINDOWS: list[tuple[Any, str]] = [
    ([], "passes.wall.windows_us: 0 items, expected at least 1"),
    ([[1, 2], []], "passes.wall.windows_us[1]: 0 items, expected at least 1"),
    ([[1, 2], [3, 0]], "passes.wall.windows_us[1][1]: 0 is below 1"),
    ([[1, 2.5]], "passes.wall.windows_us[0][1]: 2.5 is not of type integer"),
    ([1, 2], "passes.wall.windows_us[0]: 1 is not of type array"),
    (None, "passes.wall.windows_us: None is not of type array"),
]


@pytest.mark.parametrize(("value", "line"), WINDOWS, ids=[line for _, line in WINDOWS])
def test_the_windows_of_a_pass_are_series_of_whole_microseconds(value: Any, line: str) -> None:
    found = tail_long()
    assert read.faults(found) == []
    assert SCHEMA.is_valid(found)
    assert canonical(to_json(read.from_json(found, "x"))) == canonical(found)
    put("passes.wall.windows_us", value)(found)
    assert read.faults(found) == [line]


ENERGIES: list[tuple[str, Any, str]] = [
    ("energy", None, "energy: None is not of type object"),
    ("energy.steps.counter_mj.1", 0.5, "energy.steps.counter_mj[1]: 0.5 is not of type integer"),
    ("energy.steps.count", 0, "energy.steps.count: 0 is below 1"),
    ("energy.throttled", 1, "energy.throttled: a record has no such field"),
    ("energy", {"unavailable": "no counter", "idle": {}}, "energy.idle: only energy that was measured has it"),
]


@pytest.mark.parametrize(("place", "value", "line"), ENERGIES, ids=[line for _, _, line in ENERGIES])
def test_a_damaged_energy_is_named_with_its_place(place: str, value: Any, line: str) -> None:
    found = energy_record()
    assert read.faults(found) == []
    put(place, value)(found)
    assert read.faults(found) == [line]


def conditional_places(field: Mapping[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yields the place of each section in the schema that has two kinds."""
    if place and "if" in field:
        yield place
    for name, inner in field.get("properties", {}).items():
        yield from conditional_places(inner, (*place, name))


def test_every_section_of_two_kinds_is_known_as_such() -> None:
    assert sorted(read.UNIONS) == sorted(conditional_places(schema.schema()))
