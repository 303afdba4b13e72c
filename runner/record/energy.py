"""The energy of a step from the readings of the card, and the rules that these must meet.

The counter changes in steps of its resolution and at intervals. A difference of two readings may therefore be wrong by
twice the resolution, and its time by twice the interval: error ≤ 2 · resolution / joules + 2 · interval / seconds. This
does not include the error of the card's sensor, which NVML's documentation does not state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean
from typing import TypeVar

from runner.cell.fieldtypes import ABSENT, Absent, value_or_none
from runner.record.sections.energy import COUNTER, Energy, IdleStretch, Readings, StepsStretch, Stretch

AnyStretch = TypeVar("AnyStretch", bound=Stretch)

FEWEST_CHANGES = 20
"""Changes of the counter from which its resolution and interval are taken."""
FEWEST_UPDATES = 100
SHORTEST_IDLE_S, LONGEST_S = 5.0, 60.0
"""Length of the idle stretch at least, and of each stretch at most."""
LARGEST_UNCERTAINTY = 0.01
"""Largest uncertainty of a stretch that was read from the counter."""
POWER_ERROR = 0.05
"""Error of NVML's power, which its documentation states for Fermi and Kepler; it states none for later cards."""


@dataclass(frozen=True)
class Grain:
    """How finely a source resolves: the resolution in J (0 for power samples), the interval in s."""

    source: str
    resolution_j: float
    interval_s: float

    def uncertainty(self, readings: Readings) -> float:
        """Returns the largest error of the readings' energy, as a share of it. Infinite if there is none."""
        total_j, total_s = joules(readings), seconds(readings)
        if not total_j or not total_s:
            return math.inf
        sampling = 2 * self.resolution_j / total_j + 2 * self.interval_s / total_s
        return sampling if self.source == COUNTER else POWER_ERROR + sampling

    def updates(self, readings: Readings) -> float:
        """Returns how many times the counter changed meanwhile, by its interval; without a counter the number of
        readings after the first one."""
        return seconds(readings) / self.interval_s if self.source == COUNTER else len(readings.at_s) - 1

    def is_fine_enough(self, readings: Readings) -> bool:
        """Returns whether the uncertainty is accepted. That of power samples is stated, whatever it is."""
        return self.uncertainty(readings) <= LARGEST_UNCERTAINTY if self.source == COUNTER else joules(readings) > 0


def seconds(readings: Readings) -> float:
    """Returns the seconds from the first reading to the last."""
    return readings.at_s[-1] - readings.at_s[0]


def joules(readings: Readings) -> float:
    """Returns the energy from the first reading to the last in J."""
    if readings.counter_mj:
        return (readings.counter_mj[-1] - readings.counter_mj[0]) / 1000
    power_w = value_or_none(readings.power_w) or ()
    gaps_s = (after - before for before, after in pairwise(readings.at_s))
    return math.fsum(gap_s * sum(ends) / 2 for gap_s, ends in zip(gaps_s, pairwise(power_w), strict=False))


def step_ms(steps: StepsStretch) -> float:
    """Returns the mean time of a step in ms, without restarts and readings."""
    return 1e3 * (steps.seconds - steps.gaps_s) / steps.count


def watts(readings: Readings) -> float:
    """Returns the mean power in W."""
    return joules(readings) / seconds(readings)


def grain_of_counter(changes: Readings) -> Grain:
    """Returns the grain of a counter, by its readings at each change."""
    counted_mj = value_or_none(changes.counter_mj) or ()
    resolution_mj = math.gcd(*(after - before for before, after in pairwise(counted_mj)))
    return Grain(COUNTER, resolution_mj / 1000, seconds(changes) / (len(changes.at_s) - 1))


def derived(section: Energy) -> Energy:
    """Returns the section with every number that follows from its readings."""
    return of_readings(section.source, section.changes, section.idle, section.steps)


def of_readings(source: str, changes: Readings | Absent, idle: IdleStretch, steps: StepsStretch) -> Energy:
    """Returns the section of these readings."""
    found = _grain(source, changes, steps)
    idle, steps = _measured(idle), _measured(steps)
    idle_w, steps_w = watts(idle), watts(steps)
    of_idle, of_steps = found.uncertainty(idle), found.uncertainty(steps)
    return Energy(
        source=source,
        changes=changes,
        idle=idle,
        steps=steps,
        resolution_mj=round(found.resolution_j * 1000) if changes else ABSENT,
        update_interval_ms=found.interval_s * 1000,
        updates=found.updates(steps),
        joules_per_token=steps.joules / steps.count,
        joules_per_token_above_idle=(steps.joules - idle_w * steps.seconds) / steps.count,
        uncertainty=of_steps,
        uncertainty_above_idle=_above(of_idle, of_steps, idle_w, steps_w),
        sm_clock_mhz=_mean(steps.sm_clock_mhz),
        memory_clock_mhz=_mean(steps.memory_clock_mhz),
    )


def _grain(source: str, changes: Readings | Absent, steps: Readings) -> Grain:
    """Returns the grain of the source. That of power samples is the longest interval while steps ran."""
    if changes:
        return grain_of_counter(changes)
    return Grain(source, 0.0, max((after - before for before, after in pairwise(steps.at_s)), default=0.0))


def _measured(stretch: AnyStretch) -> AnyStretch:
    return replace(stretch, seconds=seconds(stretch), joules=joules(stretch))


def _above(of_idle: float, of_steps: float, idle_w: float, steps_w: float) -> float | None:
    """Returns the largest error of the power above idle, as a share of it: both powers may be wrong, each its own
    way."""
    if steps_w <= idle_w:
        return None
    return (of_steps * steps_w + of_idle * idle_w) / (steps_w - idle_w)


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
