"""The protocol of a measurement: the number of warm-up and timed steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from runner.cell.fieldtypes import IN_RANGE, Limit, OneOf, Size
from runner.cell.vocabulary import PROTOCOLS
from runner.errors import BadValue

MINIMUM_STEPS = 3  # the stationarity check compares first and last third
CUSTOM = "custom"
TAIL_STEPS = {90: 29, 95: 59, 99: 299}  # smallest n with (p/100)^n <= 0.05


@dataclass(frozen=True)
class Protocol:
    """The protocol of the measurement."""

    name: Annotated[str, OneOf((*PROTOCOLS, CUSTOM))]
    """paper, tail, or custom if a count is overridden"""
    warmup: Size
    """warm-up steps before each pass"""
    steps: Annotated[int, IN_RANGE, Limit("minimum", "ge", MINIMUM_STEPS)]
    """timed steps of each pass"""


NAMED = {"paper": Protocol("paper", warmup=5, steps=30), "tail": Protocol("tail", warmup=5, steps=300)}


def choose(name: str, warmup: int | None, steps: int | None) -> Protocol:
    """Returns the named protocol with overrides. Raises BadValue for too few steps."""
    base = NAMED[name]
    chosen_warmup = base.warmup if warmup is None else warmup
    chosen_steps = base.steps if steps is None else steps
    if chosen_warmup < 1:
        raise BadValue(f"warmup={chosen_warmup}: at least 1 warm-up step is needed")
    if chosen_steps < MINIMUM_STEPS:
        raise BadValue(f"steps={chosen_steps} is too few: the stationarity check needs at least {MINIMUM_STEPS}")
    if name == "tail" and chosen_steps < TAIL_STEPS[90]:
        raise BadValue(
            f"steps={chosen_steps} is too few for a tail: p90 needs {TAIL_STEPS[90]}, p95 {TAIL_STEPS[95]}, "
            f"p99 {TAIL_STEPS[99]} steps at 95 % confidence"
        )
    if (chosen_warmup, chosen_steps) == (base.warmup, base.steps):
        return base
    return Protocol(CUSTOM, chosen_warmup, chosen_steps)
