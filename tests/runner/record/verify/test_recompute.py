"""`runner verify` finds whatever is damaged, missing or false in a record."""

import copy
import json
import math
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.cell.jsonform import to_json
from runner.errors import BadRecord
from runner.record import judgement, read, record
from runner.record.sections.gate import Findings
from runner.record.sections.quantities import Bytes, Floor, Latency
from runner.record.verify import recompute
from tests.support import cputime
from tests.support.derive import file_name
from tests.support.edits import all_of, drop, put, rename_cell, times
from tests.support.records import example_record, failed_record
from tests.support.verify import (
    WEIGHTS,
    assert_named,
    committed,
    dynamic,
    engine,
    gptq,
    lines_about,
    lines_with_given_keys,
    older,
    on_cpu,
    right,
    tail_long,
)


def test_an_untouched_record_has_no_differences():
    assert recompute.differences(example_record()) == []


COUNTED = ("weights", "weights_measured")


def names(kind):
    return tuple(field.name for field in fields(kind))


DERIVED = [
    *(
        (section, name)
        for section, kind in (("latency", Latency), ("floor", Floor), ("gate", Findings))
        for name in names(kind)
    ),
    *(("bytes", name) for name in names(Bytes) if name not in COUNTED),
    *(("probes", "read_gbs"), ("probes", "launch_us"), ("cost_s", "fixed")),
]


@pytest.mark.parametrize(("section", "name"), DERIVED)
def test_each_derived_number_is_recomputed(section, name):
    found = example_record()
    stored = found[section][name]
    # ten times what a difference may be, and no more
    found[section][name] = 12345.678 if stored is None else stored * (1 + 1e-8) or 1e-12
    assert any(f"{section}.{name}" in line for line in recompute.differences(found))


def test_a_changed_raw_step_a_verdict_and_a_key_are_noticed():
    found = example_record()
    found["passes"]["wall"]["steps_ms"] = [step / 2 for step in found["passes"]["wall"]["steps_ms"]]
    assert any("latency.step_wall_ms" in line for line in recompute.differences(found))
    lied = copy.deepcopy(example_record())
    lied["gate"]["checks"][0]["errors"][0] = 0.5
    assert any(line.startswith("valid") for line in recompute.differences(lied))
    moved = example_record()
    moved["cell"]["ctx"] = 4096
    assert any("cell_key" in line for line in recompute.differences(moved))


def a_little_more(limit):
    return limit + 1 if isinstance(limit, int) else limit * 1.0001


# what is falsified in which record, and how the line begins that names it
LIES = [
    (
        older,
        put("gate.rows", [{"name": "wall", "unwritten": 0, "difference": 0.0}]),
        "damaged record: gate.rows: only version 2 of the gate has it",
    ),
    (example_record, put("gate.noise", 0.1), "damaged record: gate.noise: only version 1 of the gate has it"),
    (example_record, drop("limits.disturbed_share"), "limits.disturbed_share: missing"),
    (example_record, put("limits.disturbed_share", 1e-9), "limits.disturbed_share: 1e-09 stated, 0.25 is committed"),
    *((example_record, put(f"limits.{name}", a_little_more), f"limits.{name}: ") for name in to_json(judgement.LIMITS)),
    (example_record, put("environment.torch", "2.12.0"), "keys.env_key: does not match the section environment"),
    (example_record, put("keys.env_key", "0" * 12), "keys.env_key: does not match the section environment"),
    (example_record, put("keys.code_files", ["job.py", "cell/cell.py"]), "keys.code_files: not sorted"),
    (example_record, put("keys.code_files", ["../job.py"]), "damaged record: keys.code_files[0]: '../job.py' does not"),
    (failed_record, put("keys.code_files", ["job.py"]), "damaged record: outcome.status: failed, though the record"),
    (committed, put("environment.driver_major", "999"), "keys.env_key: does not match the section environment"),
    (
        example_record,
        rename_cell(quant="fp8"),
        "cell.quant: 'fp8' is unknown to this version (it has awq, bf16, bnb-nf4, gptq)",
    ),
    (failed_record, rename_cell(runtime="warp"), "cell.runtime: 'warp' is unknown to this version"),
]


@pytest.mark.parametrize(("make", "falsify", "line"), LIES, ids=[line for _, _, line in LIES])
def test_a_falsified_record_is_named_even_when_all_that_follows_was_derived_again(make, falsify, line):
    lines = lines_with_given_keys(right(make), falsify)
    assert any(said.startswith(line) for said in lines), lines


BROKEN = {
    "bytes of other weights": (
        example_record,
        all_of(*(put(f"bytes.{name}", WEIGHTS + 2) for name in ("weights", "weights_measured"))),
        f"bytes.weights: {WEIGHTS + 2} stored, {WEIGHTS} from the shape",
    ),
    **{
        f"{name} in version 1 of the gate": (
            older,
            lambda found, name=name: put(f"gate.{name}", example_record()["gate"][name])(found),
            f"damaged record: gate.{name}: only version 2 of the gate has it",
        )
        for name in (
            *("stated_ratio", "stated_spread", "checkpoint_spread", "dtype_ratio", "dtype_spread"),
            *("regret_limit", "timed_trusted", "tokens", "rows"),
        )
    },
    **{
        f"a failure with {section}": (
            failed_record,
            lambda found, section=section: found.update({section: example_record()[section]}),
            f"damaged record: outcome.status: failed, though the record has a measurement ({section})",
        )
        for section in record.MEASURED_ONLY
    },
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_a_rule_is_named(name):
    assert_named(*BROKEN[name])


HONEST = {
    "a tighter limit": (example_record, put("limits.drift", 0.04)),
    "no limit to how far passes may lie apart": (example_record, drop("limits.passes_disagreement")),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_session_is_right(name):
    make, edit = HONEST[name]
    assert lines_about(make(), edit) == []


DAMAGES = [
    *(
        (put(f"passes.{place}", value), f"passes.{place}: ")
        for place in ("wall.steps_ms.0", "span.steps_ms.3", "busy.steps_ms.-1", "busy.span_ms.0", "rate.total_ms")
        for value in (-1.0, math.nan, math.inf, "5.0", None, True)
    ),
    (put("passes.busy.kernels.0", -1), "passes.busy.kernels[0]: -1 is below 0"),
    (put("passes.wall.steps_ms.0", 0.0), "passes.wall.steps_ms[0]: 0.0 is not above 0"),
    (put("passes.wall.steps_ms.0", 10**400), "passes.wall.steps_ms[0]: "),
    (put("gate.checks", []), "gate.checks: 0 items, expected at least 1"),
    (put("gate.checks.0.errors.0", -0.01), "gate.checks[0].errors[0]: -0.01 is below 0"),
    (put("gate.checks.0.errors.0", math.nan), "gate.checks[0].errors[0]: nan is not of type number"),
    (put("gate.checks.0.positions.0", "17"), "gate.checks[0].positions[0]: '17' is not of type integer"),
    (put("actual.kernel_names", []), "actual.kernel_names: 0 items, expected at least 1"),
    (put("prefill.ms", -3), "prefill.ms: -3 is below 0"),
    (put("cost_s.total", "21"), "cost_s.total: '21' is not of type number"),
    (put("probes.read_samples_gbs.1", 0), "probes.read_samples_gbs[1]: 0 is not above 0"),
    (put("session.started_ms", "now"), "session.started_ms: 'now' is not of type integer"),
    (put("session.id", "it's"), 'session.id: "it\'s" does not match'),
    (put("cell.surprise", 1), "cell.surprise: a record has no such field"),
    (put("cell.two\nlines", 1), "cell.'two\\nlines': a record has no such field"),
    (put("cell.ctx", "2048"), "cell.ctx: '2048' is not of type integer"),
    (put("cell.ctx", 2048.0), "cell.ctx: 2048.0 is not of type integer"),
    (put("cell.dtype", "fp7"), "cell.dtype: 'fp7' is not bf16 or fp16 or fp32"),
    (drop("model.shape"), "model.shape is missing"),
    (put("passes", None), "passes: None is not of type object"),
    (drop("passes.wall"), "passes.wall is missing"),
    (drop("limits"), "limits is missing"),
    (drop("keys.env_key"), "keys.env_key is missing"),
    (put("keys.env_key", "xyz"), "keys.env_key: 'xyz' does not match"),
    (put("outcome", []), "outcome: [] is not of type object"),
    (put("valid", "yes"), "valid: 'yes' is not of type boolean"),
    (put("flags", ["a", "a"]), "flags: ['a', 'a'] has an item twice"),
    (put("snapshots.before.ecc", {"enabled": 1}), "snapshots.before.ecc"),
]


def place_of(path):
    """`wall.steps_ms.0` as the line writes it: `wall.steps_ms[0]`."""
    head, _, last = path.partition(": ")
    *parents, leaf = head.split(".")
    return f"{'.'.join(parents)}[{29 if leaf == '-1' else leaf}]: {last}" if leaf.lstrip("-").isdigit() else path


@pytest.mark.parametrize(("falsify", "line"), DAMAGES, ids=[f"{at}-{line}" for at, (_, line) in enumerate(DAMAGES)])
def test_a_value_that_no_record_can_hold_is_named_with_its_place(falsify, line):
    found = example_record()
    assert recompute.differences(found) == []
    falsify(found)
    lines = recompute.differences(found)
    assert any(said.startswith(f"damaged record: {place_of(line)}") for said in lines), lines
    assert not any("\n" in said for said in lines)


def leaves(value):
    """(container, key) of each number, word and series in a record."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if not isinstance(item, dict):
            yield value, key
        yield from leaves(item)


EDITS = {
    int: [lambda _: 0, lambda _: 1, lambda number: number + 1, lambda number: number * 2, lambda _: 10**18],
    float: [lambda _: 0.0, lambda number: number / 3, lambda number: number * 1.5, lambda _: 1e300, lambda _: 5],
    str: [lambda _: "", lambda _: "auto", lambda word: word + "x", lambda _: "eager", lambda _: "gptq"],
    list: [lambda _: [], lambda items: items[:-1], lambda items: items * 2, lambda items: items[::-1]],
}


KINDS = (example_record, dynamic, on_cpu, older, failed_record, gptq, engine, committed)


@pytest.mark.medium
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_no_edit_that_leaves_the_types_makes_verify_fail(data):
    found = data.draw(st.sampled_from(KINDS))()
    for _ in range(data.draw(st.integers(1, 3))):
        section = found[data.draw(st.sampled_from([name for name in found if isinstance(found[name], dict | list)]))]
        places = [(container, key) for container, key in leaves(section) if type(container[key]) in EDITS]
        if places:
            container, key = data.draw(st.sampled_from(places))
            container[key] = data.draw(st.sampled_from(EDITS[type(container[key])]))(container[key])
    assert all(isinstance(line, str) for line in recompute.differences(found))


@pytest.mark.medium
@pytest.mark.parametrize("make", KINDS)
def test_an_edited_record_leaves_the_next_one_as_it_was(make):
    """Else the edits of one test would be in the records of another."""
    before = json.dumps(make())
    for container, key in list(leaves(make())):
        container[key] = "edited"
    assert json.dumps(make()) == before


def test_numbers_too_large_to_derive_from_are_named():
    found = example_record()
    found["model"]["shape"]["layers"] = 10**300
    found["cell"]["ctx"] = 10**300
    assert any("its numbers cannot be derived (OverflowError" in line for line in recompute.differences(found))


@pytest.mark.parametrize("counts", [{"windows": 10**12}, {"steps": 10**12}, {"steps": 10**9, "windows": 10**9}])
@pytest.mark.parametrize("make", [tail_long, example_record])
def test_more_steps_than_a_record_can_have_are_named_and_not_looked_for(make, counts):
    found = make()
    found["protocol"] |= {"name": "custom", **counts}
    said, took_s = cputime.timed(lambda: recompute.differences(found))
    assert [line.rpartition(", ")[2] for line in said] == ["more than a record can have"]
    assert took_s < 1.0


def test_reading_for_others_names_the_first_difference_and_how_to_see_the_rest(tmp_path):
    found = example_record()
    found["passes"]["wall"]["steps_ms"].pop()
    found["keys"]["env_key"] = "0" * 12
    record.write(found, tmp_path / "r.json")
    with pytest.raises(BadRecord, match=r"29 steps, the protocol says 30 \(and 1 more: `runner verify` lists them\)"):
        recompute.read_verified(tmp_path / "r.json")


def test_a_record_survives_its_file(tmp_path):
    found = example_record()
    record.write(found, tmp_path / "r.json")
    assert to_json(recompute.read_verified(tmp_path / "r.json")) == json.loads(json.dumps(found))
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (put("valid", False), "valid: False stored, True derived"),
        (put("reasons", ["tired"]), "reasons: ['tired'] stored, [] derived"),
        (put("flags", ["tired"]), "flags: ['tired'] stored, [] derived"),
        (put("floor.r_floor", None), "floor.r_floor: None stored, 0."),
        (put("latency.step_wall_ms", times(1 + 2e-9)), "latency.step_wall_ms: 36.0000000"),
        (put("latency.step_wall_ms", times(1 - 2e-9)), "latency.step_wall_ms: 35.9999999"),
    ],
)
def test_what_does_not_follow_from_the_rest_is_named(edit, line):
    found = right(example_record)
    edit(found)
    (said,) = recompute.differences(found)
    assert said.startswith(line)


@pytest.mark.parametrize("factor", [1 + 5e-10, 1 - 5e-10])
def test_a_number_may_be_off_by_rounding(factor):
    found = right(example_record)
    put("latency.step_wall_ms", times(factor))(found)
    assert recompute.differences(found) == []


def test_one_difference_has_no_more(tmp_path):
    found = example_record()
    put("flags", ["tired"])(found)
    record.write(found, tmp_path / "r.json")
    with pytest.raises(BadRecord, match=r"r.json: flags: \['tired'\] stored, \[\] derived: restore"):
        recompute.read_verified(tmp_path / "r.json")


@pytest.mark.medium
def test_a_record_under_another_sessions_name_is_refused(tmp_path):
    found = example_record()
    path = tmp_path / file_name(found)
    record.write(found, path)
    assert recompute.read_verified(path) == read.from_file(path)
    with pytest.raises(BadRecord, match="the file name does not match the cell and session of the content"):
        recompute.read_verified(path.rename(tmp_path / path.name.replace("eager", "graph")))
