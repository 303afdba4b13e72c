"""The tail of a configuration: that of its worst session, with bounds that hold for the sample's effective size.

The steps of a session are autocorrelated, and sessions differ, so steps of different sessions are never pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from runner.record import tails
from runner.record.tails import Effective, Miss, Windows

FEWEST_SESSIONS = 3
"""Sessions from which a tail is stated."""
P99 = 99
MISS_OF_P99 = 0.01
"""Probability with which a deadline of p99 is missed."""
EXACT, GROWTH = 4, 1.5
"""Up to this number of missed chunks, `Sample.steps_down` has every number; beyond it, each is this much larger."""


@dataclass(frozen=True)
class Point:
    """From the deadline `from_ms` on, at most this share of the chunks missed it, and with 95 % confidence the
    probability of missing it is at most `upper`."""

    from_ms: float
    share: float
    upper: float


@dataclass(frozen=True)
class Sample:
    """The chunks of one session."""

    windows: Windows

    @cached_property
    def times(self) -> list[float]:
        """Returns the times of all chunks in ms, sorted."""
        return sorted(time for window in self.windows for time in window)

    @cached_property
    def size(self) -> Effective:
        """Returns the number of chunks, and the number of independent ones that they are worth."""
        return tails.effective(self.windows)

    @cached_property
    def p99_ms(self) -> float | None:
        """Returns the bound on the 99th percentile, None if the sample does not support it."""
        return tails.percentile_bound(self.windows, P99)

    @cached_property
    def points(self) -> list[Point]:
        """Returns the probability of a miss for growing deadlines, of which each bound also holds for all longer ones.

        Beyond `EXACT` missed chunks, not every number has a point, so that a deadline between two points has the larger
        probability of the two.
        """
        found: list[Point] = []
        for missed in _counts(len(self.times)):
            deadline = self.times[-1 - missed]
            miss = self.miss(deadline)
            upper = max(miss.upper, found[-1].upper) if found else miss.upper
            found.append(Point(deadline, miss.probability, upper))
        return found[::-1]

    def miss(self, deadline_ms: float) -> Miss:
        """Returns how often a chunk misses the deadline."""
        found = tails.miss(self.windows, deadline_ms)
        assert found is not None, "a sample has at least one chunk"
        return found


def _counts(chunk_count: int) -> list[int]:
    counts, missed = [], 0
    while missed < chunk_count:
        counts.append(missed)
        missed = missed + 1 if missed < EXACT else int(missed * GROWTH)
    return counts


@dataclass(frozen=True)
class Tail:
    """The tail of the sessions of one configuration, each with its bounds; the worst one counts."""

    samples: tuple[Sample, ...]

    @property
    def chunk_ms(self) -> float:
        """Returns the median over sessions of their median chunk."""
        return median(median(sample.times) for sample in self.samples)

    @property
    def slowest_median_ms(self) -> float:
        """Returns the largest median chunk of a session."""
        return max(median(sample.times) for sample in self.samples)

    @property
    def longest_ms(self) -> float:
        """Returns the longest chunk of all sessions."""
        return max(sample.times[-1] for sample in self.samples)

    @property
    def is_promise(self) -> bool:
        """Returns whether there are enough sessions to state a tail."""
        return len(self.samples) >= FEWEST_SESSIONS

    @cached_property
    def p99_ms(self) -> float | None:
        """Returns the bound on p99 in the worst session, None if a session or their number does not support one."""
        bounds = [sample.p99_ms for sample in self.samples]
        known = [bound for bound in bounds if bound is not None]
        return max(known) if self.is_promise and len(known) == len(bounds) else None

    def miss(self, deadline_ms: float) -> Miss:
        """Returns the misses of the session with the largest bound."""
        return max((sample.miss(deadline_ms) for sample in self.samples), key=lambda found: found.upper)

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Returns the points at which the bound of the worst session changes, in order of their deadlines. Below the
        first, every chunk of a session misses."""
        deadlines = sorted({point.from_ms for sample in self.samples for point in sample.points})
        found: list[Point] = []
        for deadline in deadlines:
            at = [_at(sample.points, deadline) for sample in self.samples]
            if None in at:
                continue
            worst = max((point for point in at if point is not None), key=lambda point: point.upper)
            if not found or worst.upper < found[-1].upper:
                found.append(Point(deadline, worst.share, worst.upper))
        return tuple(found)

    def deadline_for(self, probability: float) -> float | None:
        """Returns the smallest deadline of `points` that is missed with at most this probability, None if the sample
        supports none."""
        return next((point.from_ms for point in self.points if point.upper <= probability), None)


def _at(points: Sequence[Point], deadline: float) -> Point | None:
    """Returns the last point up to a deadline."""
    return next((point for point in reversed(points) if point.from_ms <= deadline), None)


def tail(sessions: Sequence[Windows], tokens: int) -> Tail | None:
    """Returns the tail of sessions, given as windows of steps in ms; None if a session has no complete chunk."""
    samples = tuple(Sample(tails.chunked(windows, tokens)) for windows in sessions)
    return Tail(samples) if samples and all(sample.times for sample in samples) else None
