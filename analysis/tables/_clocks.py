"""Clocks of a step, and the terms between adjacent clocks, which add up to the step.

The clocks in order, from the lower bound of the bytes to the observed step:

    floor at the datasheet bandwidth → floor at the device's measured bandwidth → busy time of kernels → span of the
    step on the device → wall time

Each clock is the median over sessions and comes from its own pass (docs/methodology.md, "Clocks"). A clock may
therefore be longer than the one above it, and is cut to that one. Each term then lies between 0 and the step. If the
passes differ by more than `LIMIT`, the step is not attributed: all but the floor and the kernels is one term. Terms
that the record cannot separate are also merged: kernels and gaps if kernels overlap (by programmatic launch) or their
busy time was not measured, and everything but the floor on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import polars

from analysis.group import Group
from analysis.protocoltitles import is_tail
from runner.record import judgement, phases
from runner.record.flags import PASSES_DISAGREE

OVERLAPPING = 1.01
"""Ratio of summed kernel durations to busy time above which kernels overlap. On an H200 without programmatic launch the
two agreed within 0.2 %."""
LIMIT = judgement.DISAGREEMENT_LIMIT
"""Difference between passes, as a fraction of the step, above which nothing is attributed."""

FLOOR, ACHIEVED, KERNELS, GAPS, HOST, NEW_LENGTH, REST = (
    "floor",
    "achieved",
    "kernels",
    "gaps",
    "host",
    "new length",
    "rest",
)
KERNELS_AND_GAPS = "kernels and gaps"
NOT_ATTRIBUTED = "not attributed"
TERMS = (FLOOR, ACHIEVED, KERNELS, GAPS, KERNELS_AND_GAPS, HOST, NEW_LENGTH, NOT_ATTRIBUTED, REST)
DISAGREEING = (GAPS, KERNELS_AND_GAPS, HOST, NEW_LENGTH)
"""Terms between passes that may disagree."""
Reading = tuple[str, float | None, str]
"""(name of the term that ends at the clock, the clock in ms, origin of both its ends)"""


@dataclass(frozen=True)
class Clock:
    """A clock in ms, with the term that ends there and the passes, probes or bytes of both ends.

    `uncut_ms` is the clock's own value. It is more than `ms` if the clock was cut to the one above.
    """

    term: str
    uncut_ms: float
    ends: str
    ms: float

    @property
    def name(self) -> str:
        """Returns the pass, probe or bytes of the clock."""
        return self.ends.rpartition(", ")[2]

    @property
    def cut_ms(self) -> float:
        """Returns the excess over the clock above, in ms."""
        return self.uncut_ms - self.ms


@dataclass(frozen=True)
class Term:
    """A part of a step in ms, and the passes, probes or bytes that bound it."""

    name: str
    ms: float
    of: str


def sessions_apart() -> polars.Expr:
    """Returns an expression for each session's difference between passes
    (`runner.record.metrics.passes_disagreement`).

    A record of a protocol for tails states a slightly different one: it compares the first steps of each window, and
    the medians here are over all steps.
    """
    base = polars.coalesce("step_wall_revisit_ms", "step_wall_ms")
    timed = (base, polars.col("step_span_ms"), polars.col("step_rate_ms"))
    low, high = polars.min_horizontal(*timed, "profiled_span_ms"), polars.max_horizontal(*timed)
    return polars.when(timed[1].is_not_null() & timed[2].is_not_null()).then((high - low) / base)


def uncertainty(group: Group) -> float | None:
    """Returns the difference between passes over the same lengths, as a fraction of the step; None with one pass.

    It is the larger of the median of the sessions' own differences and that of the group's clocks. The profiled pass
    counts only as the shortest, since a profiler never makes a step faster.
    """
    if group.step_span_ms is None:
        return None
    base = group.wall_ms if group.step_wall_revisit_ms is None else group.step_wall_revisit_ms
    timed = [base, *(ms for ms in (group.step_span_ms, group.step_rate_ms) if ms is not None)]
    low = min(*timed, base if group.profiled_span_ms is None else group.profiled_span_ms)
    return max((max(timed) - low) / base, group.passes_apart or 0.0)


def is_attributed(group: Group) -> bool:
    """Returns whether the passes of every session agree well enough to attribute the time, over the same lengths."""
    cut_ms = max((clock.cut_ms for clock in cuts_of(group)), default=0.0)
    apart = max(uncertainty(group) or 0.0, cut_ms / group.wall_ms)
    return not is_tail(group.protocol) and PASSES_DISAGREE not in group.flags and apart <= LIMIT


def cuts_of(group: Group) -> list[Clock]:
    """Returns the clocks that are longer than one above them."""
    return [clock for clock in clocks_of(group) if clock.ms < clock.uncut_ms]


def terms_of(group: Group) -> Iterator[Term]:
    """Yields the terms of a group in the order of the clocks. No term is negative; their sum is the step."""
    clocks = clocks_of(group)
    starts = [0.0, *(clock.ms for clock in clocks)]
    terms = [Term(clock.term, clock.ms - start, clock.ends) for clock, start in zip(clocks, starts, strict=False)]
    if is_attributed(group):
        yield from terms
        return
    merged = [term for term in terms if term.name in DISAGREEING]
    yield from (term for term in terms if term not in merged)
    if merged:
        yield Term(NOT_ATTRIBUTED, sum(term.ms for term in merged), f"{merged[0].of.partition(', ')[0]}, wall")


def clocks_of(group: Group) -> list[Clock]:
    """Returns the clocks in ascending order, each cut to the one above. The last is the step."""
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
        yield NEW_LENGTH, group.step_wall_ms, "revisit, wall"
    else:
        yield HOST, group.step_wall_ms, "span, wall"


def _device_clocks(group: Group) -> Iterator[Reading]:
    if group.step_busy_ms is None or overlap(group):
        yield KERNELS_AND_GAPS, group.step_span_ms, "read probe, span"
    else:
        yield KERNELS, group.step_busy_ms, "read probe, busy"
        yield GAPS, group.step_span_ms, "busy, span"


def phases_of(group: Group) -> list[Term]:
    """Returns the parts of `kernels` by phase of a step that is one kernel, the largest first; none for other steps.

    They add up to the busy time minus the achievable floor. A phase is negative if its bytes were read ahead.
    """
    found = ((name, getattr(group, f"kernels_{name}_ms")) for name in phases.NAMES)
    terms = [Term(name, ms, "busy and clock stamps") for name, ms in found if ms is not None]
    return sorted(terms, key=lambda term: -term.ms)


def overlap(group: Group) -> bool:
    """Returns whether the step's kernels overlap."""
    summed, busy = group.kernel_sum_ms, group.step_busy_ms
    return summed is not None and busy is not None and summed > OVERLAPPING * busy
