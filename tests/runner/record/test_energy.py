"""The arithmetic of energy: readings become joules, a share of uncertainty and joules per token."""

from __future__ import annotations

import math

import pytest

from runner.cell.fieldtypes import ABSENT
from runner.record import energy
from runner.record.energy import Grain
from runner.record.sections.energy import COUNTER, POWER_SAMPLES, IdleStretch, Readings, StepsStretch

CHANGES = Readings(at_s=(0.0, 0.1, 0.2, 0.4), counter_mj=(0, 300, 800, 1_500))
IDLE = IdleStretch(
    at_s=(0.0, 10.0),
    counter_mj=(0, 1_000_000),
    sm_clock_mhz=(1980, 1980),
    memory_clock_mhz=(2619, 2619),
    throttle_reasons=("gpu_idle",),
    seconds=0.0,
    joules=0.0,
    settled=True,
)
STEPS = StepsStretch(
    at_s=(0.0, 10.0, 20.0),
    counter_mj=(0, 4_000_000, 10_000_000),
    sm_clock_mhz=(1700, 1800, 1900),
    memory_clock_mhz=(),
    throttle_reasons=(),
    seconds=0.0,
    joules=0.0,
    segments=0,
    compiled=0,
    count=5_000,
    restarts=166,
    gaps_s=0.2,
)


def test_a_counter_gives_joules_by_its_difference() -> None:
    assert energy.joules(STEPS) == 10_000
    assert energy.seconds(STEPS) == 20
    assert energy.watts(STEPS) == 500


def test_power_gives_joules_by_trapezoids() -> None:
    # 2 s · (100 + 200) / 2 W + 1 s · (200 + 400) / 2 W = 300 J + 300 J
    assert energy.joules(Readings(at_s=(0.0, 2.0, 3.0), power_w=(100, 200, 400))) == 600


def test_the_grain_of_a_counter_is_the_common_divisor_and_the_mean_interval() -> None:
    # changes of 300, 500 and 700 mJ, three in 0.4 s
    found = energy.grain_of_counter(CHANGES)
    assert (found.source, found.resolution_j) == (COUNTER, 0.1)
    assert found.interval_s == pytest.approx(0.4 / 3)


def test_the_uncertainty_is_that_of_both_ends() -> None:
    # 2 · 10 J / 10 000 J + 2 · 0.1 s / 20 s = 0.002 + 0.01
    assert Grain(COUNTER, 10, 0.1).uncertainty(STEPS) == pytest.approx(0.012)
    assert Grain(POWER_SAMPLES, 0, 0.1).uncertainty(STEPS) == pytest.approx(0.05 + 0.01)


def test_without_energy_the_uncertainty_has_no_end() -> None:
    still = Readings(at_s=(0.0, 10.0), counter_mj=(5, 5))
    assert Grain(COUNTER, 1, 0.1).uncertainty(still) == math.inf
    assert not Grain(POWER_SAMPLES, 0, 0.1).is_fine_enough(Readings(at_s=(0.0, 10.0), power_w=(0, 0)))


@pytest.mark.parametrize(("interval_s", "fine"), [(0.1, True), (0.1001, False)])
def test_a_counter_is_fine_enough_up_to_one_percent(interval_s: float, fine: bool) -> None:
    assert Grain(COUNTER, 0, interval_s).is_fine_enough(STEPS) is fine
    assert Grain(POWER_SAMPLES, 0, interval_s).is_fine_enough(STEPS)


def test_updates_are_counted_by_the_interval_or_by_the_samples() -> None:
    assert Grain(COUNTER, 0, 0.1).updates(STEPS) == 200
    assert Grain(POWER_SAMPLES, 0, 0.1).updates(STEPS) == 2


def test_joules_per_token_follow_from_the_readings() -> None:
    found = energy.of_readings(COUNTER, CHANGES, IDLE, STEPS)
    # 10 000 J / 5000; idle 100 W: (10 000 − 100 · 20) / 5000
    assert found.joules_per_token == 2
    assert found.joules_per_token_above_idle == 1.6
    assert (found.idle.joules, found.idle.seconds) == (1_000, 10)
    assert (found.steps.joules, found.steps.seconds) == (10_000, 20)
    assert (found.sm_clock_mhz, found.memory_clock_mhz) == (1_800, None)
    assert found.resolution_mj == 100
    assert found.update_interval_ms == pytest.approx(133.333, abs=1e-3)
    assert found.updates == pytest.approx(150)
    assert energy.derived(found) == found


def test_the_error_above_idle_is_larger_and_unknown_where_nothing_is_above() -> None:
    found = energy.of_readings(COUNTER, CHANGES, IDLE, STEPS)
    # steps 2 · 0.1 / 10 000 + 2 · 0.4/3 / 20 = 0.01335, idle 2 · 0.1 / 1000 + 2 · 0.4/3 / 10 = 0.02687
    assert found.uncertainty == pytest.approx(0.0133533, abs=1e-6)
    assert found.uncertainty_above_idle == pytest.approx((0.0133533 * 500 + 0.0268667 * 100) / 400, abs=1e-6)
    assert energy.of_readings(COUNTER, CHANGES, STEPS_AS_IDLE, STEPS).uncertainty_above_idle is None


STEPS_AS_IDLE = IdleStretch(
    **{name: getattr(STEPS, name) for name in IDLE.__dataclass_fields__ if name != "settled"}, settled=None
)


def test_power_samples_have_the_longest_interval_between_two_readings() -> None:
    powers = {"counter_mj": ABSENT, "power_w": (100.0, 100.0)}
    idle = IdleStretch(**{**vars(IDLE), **powers})
    steps = StepsStretch(**{**vars(STEPS), "counter_mj": ABSENT, "power_w": (500.0, 500.0, 500.0), "at_s": (0, 5, 20)})
    found = energy.of_readings(POWER_SAMPLES, ABSENT, idle, steps)
    assert (found.resolution_mj, found.update_interval_ms, found.updates) == (ABSENT, 15_000, 2)
    assert found.joules_per_token == 2
