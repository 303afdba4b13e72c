"""The energy of a step: the card's counter while it was idle and while steps ran, and the numbers that follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from runner.cell.fieldtypes import ABSENT, Count, NotNegative, Number, OneOf, OrAbsent, Series, Size
from runner.record.sections.passes import Window

COUNTER, POWER_SAMPLES = "counter", "power-samples"
SOURCES = (COUNTER, POWER_SAMPLES)


@dataclass(frozen=True, kw_only=True)
class Readings:
    """Readings of the card over a time, taken between steps. `counter_mj` or `power_w` is present, by the source."""

    at_s: Series[NotNegative]
    """s since the first reading, one per reading"""
    counter_mj: OrAbsent[Series[Count]] = ABSENT
    """mJ that the energy counter has counted since the first reading"""
    power_w: OrAbsent[Series[NotNegative]] = ABSENT
    """W: power as NVML reports it; present if the card has no energy counter"""


@dataclass(frozen=True, kw_only=True)
class Stretch(Readings):
    """Readings of energy over a time, with the card's clocks."""

    sm_clock_mhz: tuple[NotNegative, ...]
    """MHz of the multiprocessors, one per reading; empty if the card does not report it"""
    memory_clock_mhz: tuple[NotNegative, ...]
    """MHz of the memory, likewise"""
    throttle_reasons: tuple[str, ...] | None
    """NVML's clock event reasons at any of the readings, sorted; null if the card does not report them"""
    seconds: NotNegative
    """s from the first reading to the last"""
    joules: NotNegative
    """J from the first reading to the last: the difference of the counter, or the trapezoids below the power"""


@dataclass(frozen=True, kw_only=True)
class IdleStretch(Stretch):
    """The card without work: the context is open, the model is loaded."""

    settled: bool | None
    """whether the clock of the multiprocessors had stopped changing before; null if the card does not report it"""


@dataclass(frozen=True, kw_only=True)
class StepsStretch(Stretch, Window):
    """Steps in succession, each with the read-back of its token, over the positions of the timed steps again and
    again."""

    count: Size
    """number of steps from the first reading to the last"""
    restarts: Count
    """number of times that the position was set back to the first timed one"""
    gaps_s: NotNegative
    """s of the stretch in which the host restarted or took a reading instead of running a step"""


@dataclass(frozen=True)
class EnergyPass:
    """The pass that measures the energy of a step. Absent unless it was requested."""


@dataclass(frozen=True)
class NoEnergy(EnergyPass):
    """The pass without a result."""

    unavailable: str
    """why no energy was measured"""


@dataclass(frozen=True, kw_only=True)
class Energy(EnergyPass):
    """The energy of a step, from a pass of its own between the passes with a clock and the profiled one."""

    source: Annotated[str, OneOf(SOURCES)]
    """counter: NVML's energy counter; power-samples: power readings, because the card has no such counter"""
    changes: OrAbsent[Readings] = ABSENT
    """the counter at each of its changes while steps ran, measured first; absent without a counter"""
    idle: IdleStretch
    steps: StepsStretch
    resolution_mj: OrAbsent[Count] = ABSENT
    """mJ: greatest common divisor of the counter's changes; absent without a counter"""
    update_interval_ms: NotNegative
    """ms: mean time between two changes of the counter; without a counter the longest time between two readings"""
    updates: NotNegative
    """1: how many times the counter changed in steps.seconds, by that interval; the readings that followed the first
    one without a counter"""
    joules_per_token: NotNegative
    """J: steps.joules / steps.count"""
    joules_per_token_above_idle: Number
    """J: the same without the energy that the idle card would have taken in steps.seconds"""
    uncertainty: NotNegative
    """1: largest error of joules_per_token that follows from resolution and update interval, as a share of it; the
    error of the card's sensor is not in it, except for power samples"""
    uncertainty_above_idle: NotNegative | None
    """1: the same for joules_per_token_above_idle; null if the steps took no more power than the idle card"""
    sm_clock_mhz: NotNegative | None
    """MHz: mean over the readings while steps ran"""
    memory_clock_mhz: NotNegative | None
    """MHz: mean over the readings while steps ran"""
