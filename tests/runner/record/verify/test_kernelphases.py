"""The phases of a step that is one kernel, against the record's own clocks, bytes and build."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median

import pytest

from runner.cell.fieldtypes import ABSENT
from runner.cell.jsonform import present_fields
from runner.record import phases, read, record
from runner.record.verify import kernelbuild, kernelphases, recompute
from tests.support.edits import all_of, drop, put
from tests.support.fusedrecords import fused_record
from tests.support.records import example_record
from tests.support.verify import assert_side, lines_about, sides


def test_phases_of_a_step_that_is_one_kernel_are_right() -> None:
    assert recompute.differences(fused_record()) == []


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (lambda found: found["phases"]["qkv"].pop(), "phases: the phases do not have the same number of steps"),
        (
            lambda found: found["phases"].update({name: [9e7] * 8 for name in found["phases"]}),
            r"phases: a step of [\d.]+ ms would have \d+ clocks in a microsecond",
        ),
        (lambda found: found["phases"]["head"].__setitem__(0, -1.0), r"phases\.head"),
    ],
)
def test_phases_that_cannot_be_are_named(edit, line) -> None:
    found = fused_record()
    edit(found)
    assert any(re.search(line, each) for each in recompute.differences(found)), recompute.differences(found)


def test_phases_of_a_step_of_many_kernels_are_named() -> None:
    found = {**example_record(), "phases": fused_record()["phases"]}
    assert "phases: a step of runtime eager is not one kernel" in recompute.differences(found)


def test_a_step_of_many_kernels_needs_no_phases() -> None:
    assert "phases" not in example_record()
    assert recompute.differences(example_record()) == []


def test_code_that_clocked_no_phases_needs_none() -> None:
    assert lines_about(fused_record(), drop("phases")) == ["phases: missing"]
    assert lines_about(fused_record(), all_of(drop("phases"), put("keys.code_key", "8ed45d8d1ea0"))) == []


def clocks_per_us(mhz):
    """The phases are those of a card at this clock rate, in whole clocks of each of the 132 blocks."""

    def edit(found):
        steps = [sum(step) for step in zip(*found["phases"].values(), strict=True)]
        factor = mhz * 1e3 * median(found["passes"]["busy"]["steps_ms"]) / median(steps)
        for values in found["phases"].values():
            values[:] = [round(value * factor) for value in values]

    return edit


def takes(name, least_ms):
    """The phase takes so many times what reading its bytes takes, by its share of the clocks."""

    def with_factor(factor):
        def edit(found):
            share = factor * least_ms / median(found["passes"]["busy"]["steps_ms"])
            others = sum(values[0] for phase, values in found["phases"].items() if phase != name)
            found["phases"][name] = [round(others * share / (1 - share))] * 8

        return edit

    return with_factor


# At 1.02 * 4800 GB/s, without what is on the chip (132 * 232448 B of shared memory and 62914560 B of L2, together
# 93597696 B), and without the L2 once more.
GATE_UP_MS = 1.0050  # 28 layers * 2 * 18944 * 3584 * 2 B: (7604273152 - 28 * 93597696 - 62914560) / 4896e9 s
HEAD_MS = 0.19066  # 152064 * 3584 * 2 B: (1089994752 - 93597696 - 62914560) / 4896e9 s

TOLERANCES = {
    # 1.25 times the card's maximum of 1980 MHz
    "clocks in a microsecond": (fused_record, clocks_per_us, (101, 1800, 2474), (99, 2476), "phases: a step of "),
    "a phase of every layer": (fused_record, takes("gate_up", GATE_UP_MS), (1.01, 1.5), (0.99,), "phases.gate_up: "),
    "a phase of the whole step": (fused_record, takes("head", HEAD_MS), (1.01, 1.5), (0.99,), "phases.head: "),
    "a mean over the blocks": (
        fused_record,
        lambda part: put("phases.qkv.0", lambda clocks: clocks + part / 132),
        (1, 0.005),
        (0.5, 0.02),
        "phases.qkv: ",
    ),
}
SIDES = sides(TOLERANCES)


@pytest.mark.parametrize("name", SIDES)
def test_each_side_of_a_tolerance(name) -> None:
    assert_side(*SIDES[name])


def test_a_card_that_tells_no_maximum_has_a_clock_that_exists() -> None:
    no_maximum = [put(f"snapshots.{name}.sm_clock_max_mhz", None) for name in ("before", "after")]
    within, beyond = (all_of(*no_maximum, clocks_per_us(mhz)) for mhz in (4990, 5010))
    assert lines_about(fused_record(), within) == []
    assert "not within 100 to 5000" in lines_about(fused_record(), beyond)[0]


def test_one_step_may_be_disturbed() -> None:
    def later(found):
        for values in found["phases"].values():
            values[0] *= 100

    assert lines_about(fused_record(), later) == []


def test_a_phase_that_was_multiplied_has_one_line() -> None:
    edit = put("phases.qkv", lambda values: [value + 0.5 / 132 for value in values])
    (line,) = lines_about(fused_record(), edit)
    assert re.fullmatch(r"phases\.qkv: [\d.e+]+ clocks in step 0 are no mean over 132 blocks", line)


def test_a_card_that_tells_no_cache_has_no_least_times() -> None:
    lines = lines_about(fused_record(), put("gpu.last_level_cache_bytes", None))
    assert lines == ["gpu.last_level_cache_bytes: missing"]


def test_without_the_facts_of_the_build_the_phases_are_compared_with_clocks_alone() -> None:
    found = fused_record()
    del found["actual"]["settings"]
    found["phases"]["gate_up"], found["phases"]["out"] = found["phases"]["out"], found["phases"]["gate_up"]
    assert [line for line in recompute.differences(found) if line.startswith("phases")] == []


@pytest.mark.medium
def test_committed_sessions_are_far_from_each_limit() -> None:
    """Clocks by the card's maximum, distances from whole clocks, and phases by the time to read their bytes."""
    found = [each for each in map(read.record_or_faults, committed()) if each.phases is not ABSENT]
    assert len(found) >= 30
    rates, distances, speeds = zip(*map(measures, found), strict=True)
    assert 0.895 < min(rates) <= max(rates) < 0.945
    assert re.search(r"has 0\.90 to 0\.95 times", Path(str(kernelphases.__file__)).read_text())
    assert max(distances) < 1e-5
    assert min(speeds) > 1.15  # of the head, the only phase that runs at the speed of the memory throughout


def committed():
    paths = (Path(__file__).parents[4] / "experiments" / "records" / "h200").rglob("*-fused-*.json")
    return [record.read(path) for path in sorted(paths) if path.name != "ab.json"]


def measures(session):
    series = dict(present_fields(session.phases))
    clocks, busy_ms = [sum(step) for step in zip(*series.values(), strict=True)], session.latency.step_busy_ms
    blocks = kernelbuild.constants(session)["BLOCKS"]
    distances = [abs(value * blocks - round(value * blocks)) for values in series.values() for value in values]
    least = dict(kernelphases.least_ms(session))
    times_ms = phases.phase_ms(session.phases, busy_ms)
    return (
        median(clocks) / busy_ms / 1e3 / session.snapshots.after.sm_clock_max_mhz,
        max(distances),
        min(times_ms[name] / value for name, value in least.items() if value),
    )
