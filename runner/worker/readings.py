"""Readings of a card's energy, between steps: its counter, or its power where there is no counter."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from runner.machine.nvml import OpenCard
from runner.record import energy as rules
from runner.record.energy import Grain
from runner.record.sections.energy import COUNTER, POWER_SAMPLES, Readings

SECONDS_BETWEEN = {COUNTER: 0.5, POWER_SAMPLES: 0.1}
"""Least seconds between two readings, by source: a reading of power is a sample, one of the counter is not."""
ONLY_ROOT = "only root may read the energy counter of this card ({}): measure as root, or without energy"


class Unavailable(Exception):
    """Why no energy can be measured."""


@dataclass(frozen=True)
class Source:
    """The counter of a card in mJ, or its power in W."""

    name: str
    read: Callable[[], Any]

    def value(self) -> Any:
        """Returns the value now. Raises Unavailable if there is none any more."""
        if (value := self.read()) is None:
            raise Unavailable("the card has stopped reporting its energy")
        return value

    def readings(self, at_s: list[float], values: list[Any]) -> Readings:
        """Returns values with their times, from the first one on."""
        since_s = tuple(round(moment - at_s[0], 6) for moment in at_s)
        if self.name == COUNTER:
            return Readings(at_s=since_s, counter_mj=tuple(value - values[0] for value in values))
        return Readings(at_s=since_s, power_w=tuple(values))


def source_of(card: OpenCard) -> Source:
    """Returns the card's counter, or its power if there is none.

    Raises Unavailable without both, and for a counter that this user may not read: as root, it gives a better number
    than samples of power.
    """
    try:
        has_counter = card.energy_mj() is not None
    except PermissionError as error:
        raise Unavailable(ONLY_ROOT.format(error)) from error
    if has_counter:
        return Source(COUNTER, card.energy_mj)
    if card.power_w() is not None:
        return Source(POWER_SAMPLES, card.power_w)
    raise Unavailable("NVML reports neither an energy counter nor the power of this card")


@dataclass
class Log:
    """The readings of a stretch so far."""

    card: OpenCard
    source: Source
    at_s: list[float] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    sm_clock_mhz: list[float | None] = field(default_factory=list)
    memory_clock_mhz: list[float | None] = field(default_factory=list)
    reasons: list[tuple[str, ...] | None] = field(default_factory=list)
    reading_s: float = 0.0
    """s that the readings after the first one took; the stretch begins with the first"""

    def take(self) -> None:
        """Takes a reading. Raises Unavailable if the source has none any more."""
        began_s = time.perf_counter()
        self.sm_clock_mhz.append(self.card.sm_clock_mhz())
        self.memory_clock_mhz.append(self.card.memory_clock_mhz())
        self.reasons.append(self.card.throttle_reasons())
        self.values.append(self.source.value())
        self.at_s.append(time.perf_counter())
        if len(self.at_s) > 1:
            self.reading_s += self.at_s[-1] - began_s

    def fill(self, work: Callable[[], None], grain: Grain, is_enough: Callable[[Readings], bool]) -> None:
        """Alternates work and readings until the stretch is long enough. Raises Unavailable if it never is."""
        self.take()
        while not is_enough(self.readings()):
            if self.at_s[-1] - self.at_s[0] > rules.LONGEST_S:
                raise Unavailable(self._too_short(grain))
            work()
            while time.perf_counter() - self.at_s[-1] < SECONDS_BETWEEN[self.source.name]:
                work()
            self.take()

    def _too_short(self, grain: Grain) -> str:
        found = self.readings()
        taken_j = rules.joules(found)
        error = f" with an error of {100 * grain.uncertainty(found):.1f} %" if taken_j else ""
        return (
            f"{rules.LONGEST_S:.0f} s were too short: {taken_j:.0f} J in {grain.updates(found):.0f} updates{error}; "
            f"needed are {rules.FEWEST_UPDATES} updates while steps run, and an error of at most "
            f"{100 * rules.LARGEST_UNCERTAINTY:.0f} % with a counter"
        )

    def readings(self) -> Readings:
        """Returns times and values from the first reading on."""
        return self.source.readings(self.at_s, self.values)

    def stretch(self) -> dict[str, Any]:
        """Returns the fields of a stretch."""
        found = self.readings()
        named = [each for each in self.reasons if each is not None]
        return {
            **vars(found),
            "sm_clock_mhz": _complete(self.sm_clock_mhz),
            "memory_clock_mhz": _complete(self.memory_clock_mhz),
            "throttle_reasons": tuple(sorted({name for each in named for name in each})) if named else None,
            "seconds": rules.seconds(found),
            "joules": rules.joules(found),
        }


def _complete(values: list[float | None]) -> tuple[float, ...]:
    """Returns the values; none if one is missing, because the mean of the others would be of another time."""
    found = tuple(value for value in values if value is not None)
    return found if len(found) == len(values) else ()
