"""The section of energy: its readings are complete, possible and enough, and its numbers follow from them."""

import pytest

from runner.record.verify import recompute
from tests.support.edits import all_of, drop, put, times
from tests.support.energies import energy_record, power_record, with_energy
from tests.support.records import cpu_record, example_record
from tests.support.verify import assert_named, lines_about, lines_with_given_keys, right


def unavailable(reason="NVML reports neither an energy counter nor the power of this card"):
    found = example_record()
    found["request"]["energy"], found["energy"] = "on", {"unavailable": reason}
    return found


@pytest.mark.parametrize("make", [energy_record, power_record, unavailable])
def test_a_record_with_energy_is_right(make):
    assert recompute.differences(make()) == []


# numbers that do not follow from the readings, in a record whose other numbers are left as they are
NUMBERS = {
    "joules per token": ("energy.joules_per_token", 0.5),
    "above idle": ("energy.joules_per_token_above_idle", 0.5),
    "uncertainty": ("energy.uncertainty", 0.5),
    "of the idle joules": ("energy.idle.joules", 0.5),
    "of the seconds": ("energy.steps.seconds", 2.0),
    "clock": ("energy.sm_clock_mhz", 1.1),
    "interval": ("energy.update_interval_ms", 0.5),
    "updates": ("energy.updates", 2.0),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_a_number_that_does_not_follow_from_the_readings_is_named(case):
    path, factor = NUMBERS[case]
    found = energy_record()
    put(path, times(factor))(found)
    (line,) = [one for one in recompute.differences(found) if one.startswith(f"{path}:")]
    assert line.endswith(" derived")


# what is planted, and how the line about it begins; all that follows is derived again
PLANTED = {
    "energy that nobody asked for": (energy_record, drop("request.energy"), "energy: present, but not requested"),
    "energy that is gone": (energy_record, drop("energy"), "energy: missing, but requested"),
    "its cost without it": (energy_record, drop("energy"), "cost_s.energy: present"),
    "no reason": (unavailable, put("energy.unavailable", ""), "energy.unavailable: empty"),
    "another source": (energy_record, put("energy.source", "power-samples"), "energy.changes: present, but power"),
    "fewer changes": (
        energy_record,
        all_of(
            put("energy.changes.at_s", lambda values: values[:20]),
            put("energy.changes.counter_mj", lambda values: values[:20]),
        ),
        "energy.changes: 19 intervals, 20 are needed",
    ),
    "power beside a counter": (
        energy_record,
        put("energy.idle.power_w", [100.0] * 42),
        "energy.idle.power_w: present, but the source is another",
    ),
    "a reading too many": (
        energy_record,
        put("energy.steps.counter_mj", lambda values: [*values, values[-1]]),
        "energy.steps.counter_mj: 42 readings at 41 times",
    ),
    "time that stands still": (
        energy_record,
        put("energy.steps.at_s.3", lambda _: 1.0),
        "energy.steps.at_s: not increasing from 0",
    ),
    "a later beginning": (
        energy_record,
        put("energy.idle.at_s.0", lambda _: 0.1),
        "energy.idle.at_s: not increasing from 0",
    ),
    "a counter that shrinks": (
        energy_record,
        put("energy.idle.counter_mj.1", lambda mj: mj + 10**6),
        "energy.idle.counter_mj: not growing from 0",
    ),
    "a clock without its reading": (
        energy_record,
        put("energy.steps.sm_clock_mhz", lambda values: values[1:]),
        "energy.steps.sm_clock_mhz: 40 clocks in 41 readings",
    ),
    "a clock beyond the card's": (
        energy_record,
        put("energy.steps.sm_clock_mhz.0", lambda _: 2100),
        "energy.steps.sm_clock_mhz: 2100, more than the card's maximum",
    ),
    "reasons out of order": (
        energy_record,
        put("energy.steps.throttle_reasons", ["sw_power_cap", "gpu_idle"]),
        "energy.steps.throttle_reasons: not sorted, each once",
    ),
    "more power than the card takes": (
        energy_record,
        put("energy.steps.counter_mj", times(2)),
        "energy.steps: mean power in W: 960, more than the card takes (840)",
    ),
    "an idle card for too short a time": (
        power_record,
        put("energy.idle.at_s", times(0.2)),
        "energy.idle.seconds: 4.1, less than the idle card needs (5)",
    ),
    "too few updates": (
        power_record,
        all_of(
            *(
                put(f"energy.steps.{series}", lambda values: values[:50])
                for series in ("at_s", "power_w", "sm_clock_mhz", "memory_clock_mhz")
            ),
            put("energy.steps.count", 272),
            put("energy.steps.restarts", 9),
        ),
        "energy.updates: 49, less than one percent needs (100)",
    ),
    "an error of more than one percent": (
        energy_record,
        put("energy.changes.at_s", times(2)),
        "energy.steps: uncertainty: 0.0195",
    ),
    "too long a stretch": (
        energy_record,
        put("energy.idle.at_s", times(5)),
        "energy.idle.seconds: 102.5, more than a stretch may take (90)",
    ),
    "more steps than the memory can be read": (
        energy_record,
        all_of(put("energy.steps.count", times(20)), put("energy.steps.restarts", times(20))),
        "energy.steps: 1.79",
    ),
    "more steps, and no more restarts": (
        energy_record,
        put("energy.steps.count", times(2)),
        "energy.steps.restarts: 18 in 1138 steps, 30 from each",
    ),
    "more gaps than time": (
        energy_record,
        put("energy.steps.gaps_s", 21.0),
        "energy.steps.gaps_s: 21, more than the stretch has",
    ),
    "a pass that took no time": (energy_record, put("cost_s.energy", 40.0), "cost_s.energy: 40, less than"),
    "steps that the gate did not check": (
        energy_record,
        put("gate.tokens", lambda tokens: [each for each in tokens if each["name"] != "energy"]),
        "gate.tokens: of the passes",
    ),
    "logits that the gate did not check": (
        energy_record,
        put("gate.checks", lambda checks: [each for each in checks if each["name"] != "energy"]),
        "gate.checks: energy is missing",
    ),
    "a check without energy": (
        example_record,
        put("gate.rows", lambda rows: [*rows, {**rows[0], "name": "energy"}]),
        "gate.rows: of the passes",
    ),
}


@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_contradiction_is_named(case):
    make, edit, line = PLANTED[case]
    assert_named(make, edit, line)


def test_a_cpu_has_no_energy():
    lines = lines_with_given_keys(with_energy(cpu_record(cell={"cache": "dynamic"})), lambda _found: None)
    assert "energy: present, but the cell is on a CPU" in lines


def test_events_in_the_window_of_energy_make_a_session_invalid():
    found = energy_record()
    lines_about(found, put("energy.steps.compiled", 1))
    assert found["reasons"] == ["1 compilations inside the energy window"]


def test_the_record_that_was_edited_was_right():
    for make in (energy_record, power_record, unavailable):
        right(make)
