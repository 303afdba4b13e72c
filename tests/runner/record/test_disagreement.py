"""Passes that disagree: over the same context lengths by more than a tenth of a step, and by more than a twentieth
while energy was measured. Metric, flag, `verify`, run page."""

import pytest

from runner.record import judgement, metrics
from runner.record.flags import ENERGY_DISAGREES, PASSES_DISAGREE
from runner.record.verify import recompute
from runner.store import run_page
from runner.store.session_run import view
from tests.support.derive import derive, judge, typed
from tests.support.energies import energy_record, energy_section, with_energy
from tests.support.records import cpu_record, example_record, of_gate_version_1


def apart(record, **steps_ms):
    """The record with these steps in its passes, each pass of equal ones."""
    for name, step_ms in steps_ms.items():
        window = record["passes"]["busy" if name == "profiled" else name]
        if name == "rate":
            window["total_ms"] = step_ms * 30
        else:
            window["span_ms" if name == "profiled" else "steps_ms"] = [step_ms] * 30
    derive(record)
    judge(record)
    return record


@pytest.mark.parametrize(
    ("steps_ms", "share"),
    [
        ({"wall": 20.0, "span": 20.0, "rate": 20.0}, 0.0),
        ({"wall": 20.0, "span": 22.0, "rate": 21.0}, 0.1),
        ({"wall": 20.0, "span": 20.0, "rate": 17.0}, 0.15),
        ({"wall": 20.0, "span": 20.0, "rate": 20.0, "profiled": 16.0}, 0.2),
        ({"wall": 20.0, "span": 20.0, "rate": 20.0, "profiled": 40.0}, 0.0),  # a profiler makes no step quicker
    ],
)
def test_it_is_a_share_of_the_step_by_the_hosts_clock(steps_ms, share):
    assert metrics.passes_disagreement(typed(apart(example_record(), **steps_ms))) == pytest.approx(share)


def test_a_growing_cache_is_asked_for_lengths_that_it_has_met():
    found = example_record(cell={"cache": "dynamic"})
    steps_ms = {"wall": 80.0, "revisit": 20.0, "span": 20.0, "rate": 20.0}
    assert metrics.passes_disagreement(typed(apart(found, **steps_ms))) == 0
    assert metrics.passes_disagreement(typed(apart(found, **steps_ms | {"revisit": 25.0}))) == pytest.approx(0.2)


def test_a_cpu_has_one_pass():
    assert metrics.passes_disagreement(typed(cpu_record())) is None
    assert PASSES_DISAGREE not in cpu_record()["flags"]


@pytest.mark.parametrize(("rate", "flagged"), [(22.1, True), (22.0, False)])
def test_more_than_a_tenth_is_flagged(rate, flagged):
    found = apart(example_record(), wall=20.0, span=20.1, rate=rate)
    assert ("passes-disagree" in found["flags"]) is flagged
    assert recompute.differences(found) == []
    assert found["valid"]


@pytest.mark.medium
def test_sessions_of_before_the_flag_are_shown_with_it_and_stay_as_they_are():
    found = of_gate_version_1(example_record())
    apart(found, wall=20.0, span=20.1, rate=30.0)
    assert "passes-disagree" not in found["flags"]
    assert recompute.differences(found) == []
    assert judgement.displayed_flags(typed(found)) == ["passes-disagree"]
    assert view(typed(found)).tags["flags"] == "passes-disagree"
    assert "`passes-disagree`: passes over the same context lengths" in run_page.run_description(typed(found))


# the example's steps take 36 ms by the host's clock; readings and restarts are not part of a step
@pytest.mark.parametrize(("step_ms", "flagged"), [(36.0, False), (37.7, False), (38.2, True), (33.9, True)])
def test_steps_of_another_length_while_energy_was_measured_are_flagged(step_ms, flagged):
    found = with_energy(example_record(), energy_section(step_ms))
    assert metrics.energy_disagreement(typed(found)) == pytest.approx(abs(step_ms / 36 - 1), abs=0.002)
    assert (ENERGY_DISAGREES in found["flags"]) is flagged
    assert recompute.differences(found) == []
    assert found["valid"]


def test_energy_is_compared_with_lengths_that_a_growing_cache_has_met():
    found = energy_record(cell={"cache": "dynamic"})
    found["passes"]["wall"]["steps_ms"] = [80.0] * 30
    assert metrics.energy_disagreement(typed(found)) < 0.01


def test_sessions_of_before_the_flag_of_energy_are_shown_with_it():
    found = with_energy(example_record(), energy_section(40.0))
    del found["limits"]["energy_disagreement"]
    judge(found)
    assert ENERGY_DISAGREES not in found["flags"]
    assert recompute.differences(found) == []
    assert judgement.displayed_flags(typed(found)) == sorted([*found["flags"], ENERGY_DISAGREES])


def test_without_energy_there_is_nothing_to_compare():
    assert metrics.energy_disagreement(typed(example_record())) is None


def test_marks_are_shown_in_alphabetical_order():
    found = of_gate_version_1(apart(example_record(), wall=20.0, span=20.0, rate=25.0))
    found["flags"] = ["throttled", "unpinned", "drifting", "host-busy", "shared-card"]
    expected = ["drifting", "host-busy", "passes-disagree", "shared-card", "throttled", "unpinned"]
    assert judgement.displayed_flags(typed(found)) == expected
