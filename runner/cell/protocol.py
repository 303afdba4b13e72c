"""The protocol of a measurement: the number of warm-up and timed steps, and of windows of the wall pass."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

from runner.cell.fieldtypes import IN_RANGE, LEFT_OUT_AT_DEFAULT, Limit, OneOf, Size
from runner.cell.vocabulary import DEFAULT_PROTOCOL, DYNAMIC, PROTOCOLS, TAILS
from runner.errors import BadValue

MINIMUM_STEPS = 3  # the stationarity check compares first and last third
CUSTOM = "custom"
OTHER_STEPS = 30
"""Timed steps, in a protocol for tails, of the passes that state no tail."""
TAIL_STEPS = {90: 29, 95: 59, 99: 299}  # smallest n with (p/100)^n <= 0.05


@dataclass(frozen=True)
class Protocol:
    """The protocol of the measurement."""

    name: Annotated[str, OneOf((*PROTOCOLS, CUSTOM))]
    """paper, tail, tail-long, or custom if a count is overridden"""
    warmup: Size
    """warm-up steps before each pass, and before each window of the wall pass"""
    steps: Annotated[int, IN_RANGE, Limit("minimum", "ge", MINIMUM_STEPS)]
    """timed steps of each pass, or of each window of the wall pass; with a protocol for tails (tail, or several
    windows) the other passes have at most 30"""
    windows: Size = field(default=1, metadata=LEFT_OUT_AT_DEFAULT)
    """windows of the wall pass, each restarted at ctx; absent if there is one"""

    @property
    def is_tail(self) -> bool:
        """Returns whether the wall pass alone is long, to state a tail."""
        return self.name in TAILS or self.windows > 1

    @property
    def other_steps(self) -> int:
        """Returns the timed steps of every pass but the wall pass."""
        return min(self.steps, OTHER_STEPS) if self.is_tail else self.steps

    @property
    def wall_windows(self) -> tuple[str, ...]:
        """Returns the names of the wall pass's windows. A single one has the name of the pass."""
        if self.windows == 1:
            return ("wall",)
        return tuple(f"wall window {number}" for number in range(1, self.windows + 1))

    def refuses(self, cache: str) -> str | None:
        """Returns why a cell with this cache cannot be measured so; None if it can."""
        if self.windows == 1 or cache != DYNAMIC:
            return None
        return f"only the first of {self.windows} windows meets each length of a {DYNAMIC} cache for the first time"

    @property
    def counts(self) -> str:
        """Returns the numbers of steps in words."""
        return f"{self.warmup} warm-up and {self.steps} timed steps" + (
            f" in each of {self.windows} windows" if self.windows > 1 else ""
        )

    @property
    def timed(self) -> str:
        """Returns the steps of the wall pass in words."""
        return f"{self.windows} windows of {self.steps} steps" if self.windows > 1 else f"{self.steps} steps"

    @property
    def title(self) -> str:
        """Returns name and counts, such as `paper-5-30` or `tail-long-5-10x300`."""
        counts = self.steps if self.windows == 1 else f"{self.windows}x{self.steps}"
        return f"{self.name}-{self.warmup}-{counts}"


NAMED = {
    each.name: each
    for each in (
        Protocol(DEFAULT_PROTOCOL, warmup=5, steps=30),
        Protocol("tail", warmup=5, steps=300),
        Protocol("tail-long", warmup=5, steps=300, windows=10),
    )
}


def choose(name: str, warmup: int | None, steps: int | None, windows: int | None = None) -> Protocol:
    """Returns the named protocol with overrides. Raises BadValue for too few steps."""
    base = NAMED[name]
    chosen_warmup = base.warmup if warmup is None else warmup
    chosen_steps = base.steps if steps is None else steps
    chosen_windows = base.windows if windows is None else windows
    if chosen_warmup < 1:
        raise BadValue(f"warmup={chosen_warmup}: at least 1 warm-up step is needed")
    if chosen_steps < MINIMUM_STEPS:
        raise BadValue(f"steps={chosen_steps} is too few: the stationarity check needs at least {MINIMUM_STEPS}")
    if chosen_windows < 1:
        raise BadValue(f"windows={chosen_windows}: at least 1 window is needed")
    if name in TAILS and chosen_steps * chosen_windows < TAIL_STEPS[90]:
        raise BadValue(
            f"steps={chosen_steps} is too few for a tail: p90 needs {TAIL_STEPS[90]}, p95 {TAIL_STEPS[95]}, "
            f"p99 {TAIL_STEPS[99]} steps at 95 % confidence"
        )
    chosen = replace(base, warmup=chosen_warmup, steps=chosen_steps, windows=chosen_windows)
    return base if chosen == base else replace(chosen, name=CUSTOM)
