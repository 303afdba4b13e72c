"""The clocks of a step, and the terms between neighbouring ones: they add up to the step.

From the least that the bytes allow to what the robot waits for:

    floor at the datasheet's peak → floor at the bandwidth this device achieves → kernels busy → span of the step on the
    device → wall

Each clock is the median session's. The clocks come from passes of their own (docs/methodology.md, "Clocks"), so that a
clock may be longer than the one above it: it is cut to that one. So each term lies between 0 and the step. Beyond
`LIMIT` the step is not attributed: all but the floor and the kernels is one term. Terms between which the record cannot
tell are one, too: kernels and gaps where kernels overlap (by programmatic launch) or where their time was not measured,
everything but the floor on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import polars

from analysis.group import Group
from runner.record import judgement
from runner.record.flags import PASSES_DISAGREE

OVERLAPPING = 1.01
"""Kernels whose durations add up to more than this times the time in which any ran overlap; on an H200 without
programmatic launch the two agreed within 0.2 %."""
LIMIT = judgement.DISAGREEMENT_LIMIT
"""Passes that lie further apart than this share of the step attribute nothing."""

FLOOR, ACHIEVED, KERNELS, GAPS, HOST, FIRST_VISIT, REST = (
    "floor",
    "achieved",
    "kernels",
    "gaps",
    "host",
    "first visit",
    "rest",
)
KERNELS_AND_GAPS = "kernels and gaps"
NOT_ATTRIBUTED = "not attributed"
TERMS = (FLOOR, ACHIEVED, KERNELS, GAPS, KERNELS_AND_GAPS, HOST, FIRST_VISIT, NOT_ATTRIBUTED, REST)
DISAGREEING = (GAPS, KERNELS_AND_GAPS, HOST, FIRST_VISIT)
"""The terms between passes that may disagree."""
Reading = tuple[str, float | None, str]
"""(the term that ends at a clock, the clock in ms, where both its ends come from)"""


@dataclass(frozen=True)
class Clock:
    """Milliseconds, the term that ends there, and the passes (or the probe, or the bytes) of both its ends.
    `uncut_ms` is the clock's own value, more than `ms` where it was cut to the clock above it."""

    term: str
    uncut_ms: float
    of: str
    ms: float

    @property
    def name(self) -> str:
        """The pass, probe or bytes of the clock."""
        return self.of.rpartition(", ")[2]

    @property
    def cut_ms(self) -> float:
        """What was cut off."""
        return self.uncut_ms - self.ms


@dataclass(frozen=True)
class Term:
    """Milliseconds of a step, between 0 and all of it, and the passes (or the probe, or the bytes) they lie between."""

    name: str
    ms: float
    of: str


def sessions_apart() -> polars.Expr:
    """Returns how far each session's passes lie apart, by the rule of `runner.record.metrics.passes_disagreement`."""
    base = polars.coalesce("step_wall_revisit_ms", "step_wall_ms")
    timed = (base, polars.col("step_span_ms"), polars.col("step_rate_ms"))
    low, high = polars.min_horizontal(*timed, "profiled_span_ms"), polars.max_horizontal(*timed)
    return polars.when(timed[1].is_not_null() & timed[2].is_not_null()).then((high - low) / base)


def uncertainty(group: Group) -> float | None:
    """Returns how far the passes over the same lengths lie apart, relative to the step over these lengths; None where
    there is one pass.

    It is the sessions' own spread in the median, or that of the group's clocks, whichever is more. The profiled pass
    counts where it is the shortest: a profiler makes no step quicker.
    """
    if group.step_span_ms is None:
        return None
    base = group.wall_ms if group.step_wall_revisit_ms is None else group.step_wall_revisit_ms
    timed = [base, *(ms for ms in (group.step_span_ms, group.step_rate_ms) if ms is not None)]
    low = min(*timed, base if group.profiled_span_ms is None else group.profiled_span_ms)
    return max((max(timed) - low) / base, group.passes_apart or 0.0)


def is_attributed(group: Group) -> bool:
    """True if the passes of every session agree well enough to say where the time goes."""
    cut_ms = max((clock.cut_ms for clock in cuts_of(group)), default=0.0)
    apart = max(uncertainty(group) or 0.0, cut_ms / group.wall_ms)
    return PASSES_DISAGREE not in group.flags and apart <= LIMIT


def cuts_of(group: Group) -> list[Clock]:
    """Returns the clocks that are longer than one above them."""
    return [clock for clock in clocks_of(group) if clock.ms < clock.uncut_ms]


def terms_of(group: Group) -> Iterator[Term]:
    """Yields the terms of a group in the order of the clocks: none is negative, and they add up to the step."""
    clocks = clocks_of(group)
    starts = [0.0, *(clock.ms for clock in clocks)]
    terms = [Term(clock.term, clock.ms - start, clock.of) for clock, start in zip(clocks, starts, strict=False)]
    if is_attributed(group):
        yield from terms
        return
    merged = [term for term in terms if term.name in DISAGREEING]
    yield from (term for term in terms if term not in merged)
    if merged:
        yield Term(NOT_ATTRIBUTED, sum(term.ms for term in merged), f"{merged[0].of.partition(', ')[0]}, wall")


def clocks_of(group: Group) -> list[Clock]:
    """Returns each clock after the one below it, none longer than the one above: the last is the step."""
    known = [(term, ms, ends) for term, ms, ends in _clocks(group) if ms is not None]
    cut = [*accumulate((ms for _, ms, _ in reversed(known)), min)][::-1]
    return [Clock(term, ms, ends, least) for (term, ms, ends), least in zip(known, cut, strict=True)]


def _clocks(group: Group) -> Iterator[Reading]:
    if group.floor_ms is not None:
        yield FLOOR, group.floor_ms, "bytes and datasheet"
    yield ACHIEVED if group.floor_ms is not None else FLOOR, group.floor_achievable_ms, "bytes and read probe"
    if group.step_span_ms is None:
        yield REST, group.step_wall_ms, "read probe, wall"
        return
    yield from _device_clocks(group)
    if group.step_wall_revisit_ms is not None:
        yield HOST, group.step_wall_revisit_ms, "span, revisit"
        yield FIRST_VISIT, group.step_wall_ms, "revisit, wall"
    else:
        yield HOST, group.step_wall_ms, "span, wall"


def _device_clocks(group: Group) -> Iterator[Reading]:
    if group.step_busy_ms is None or overlap(group):
        yield KERNELS_AND_GAPS, group.step_span_ms, "read probe, span"
    else:
        yield KERNELS, group.step_busy_ms, "read probe, busy"
        yield GAPS, group.step_span_ms, "busy, span"


def overlap(group: Group) -> bool:
    """True if the step's kernels run over one another."""
    added, busy = group.kernel_sum_ms, group.step_busy_ms
    return added is not None and busy is not None and added > OVERLAPPING * busy
