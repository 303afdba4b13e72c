"""Detection of copied steps: two runs do not have the same step times to the nanosecond, and steps in whole
microseconds are not equal much more often than by chance."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median

from runner.record.sessionrecord import MeasuredRecord, SessionRecord

SHARED = 0.5
"""Share of equal steps beyond chance from which on two series are copies. Any two committed sessions share at most one
step in thirty."""
SAME_SHAPE = 1e-5
"""Largest difference of two equal shapes (sorted steps / median). The two most similar committed sessions differ by
5e-4."""
MINIMUM_STEPS, MINIMUM_SPREAD = 20, 1e-3
"""Smallest number of steps, and smallest range of steps / median, of a shape that identifies a series."""

WORD = 8
"""Number of consecutive steps that identify a place of a series in whole microseconds, in which single steps recur."""

SAME, REORDERED, SCALED = "the same steps", "the same steps in another order", "the same steps times a factor"


def likeness(ours: Sequence[float], theirs: Sequence[float]) -> str | None:
    """Returns the kind of copy if one series is a copy of the other; else None."""
    if agreement(ours, theirs) >= SHARED:
        return SAME
    if not _differ_within(ours):
        return None
    if sorted(ours) == sorted(theirs):
        return REORDERED
    return SCALED if _have_one_shape(_shape(ours), _shape(theirs)) else None


def _differ_within(steps: Sequence[float]) -> bool:
    """Returns whether a series has enough different steps for their values to identify it. Very even steps in whole
    microseconds do not."""
    return len({*steps}) >= min(MINIMUM_STEPS, len(steps))


def agreement(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Returns the share of equal steps at the same place, beyond that at different places: (equal - chance) / (1 -
    chance), as in Cohen's kappa.

    Steps in nanoseconds are not equal by chance; many of those in whole microseconds are. Steps that only the longer
    series has are not equal.
    """
    count = max(len(ours), len(theirs))
    equal = sum(a == b for a, b in zip(ours, theirs, strict=False))
    if equal == count:
        return 1.0
    frequencies = Counter(theirs)
    elsewhere = sum(frequencies[step] for step in ours) - equal
    chance = elsewhere / (len(ours) * len(theirs) - min(len(ours), len(theirs)))
    return (equal / count - chance) / (1 - chance) if chance < 1 else 0.0


def _shape(steps: Sequence[float]) -> list[float]:
    """Returns sorted steps / median; empty if the steps are too few or too similar to identify the series."""
    middle = median(steps)
    shape = [step / middle for step in sorted(steps)] if middle else []
    is_distinctive = len(shape) >= MINIMUM_STEPS and shape[-1] - shape[0] >= MINIMUM_SPREAD
    return shape if is_distinctive else []


def _have_one_shape(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    if not ours or len(ours) != len(theirs):
        return False
    return all(abs(a - b) <= SAME_SHAPE for a, b in zip(ours, theirs, strict=True))


def period(steps: Sequence[float]) -> int | None:
    """Returns the period in steps of a series that repeats itself; None if it does not, or if it is too short or too
    even to say."""
    if not _shape(steps):
        return None
    for distance in filter(None, map(partial(_usual_distance, steps), (1, WORD))):
        later, earlier = steps[distance:], steps[:-distance]
        equal = sum(a == b for a, b in zip(later, earlier, strict=True))
        if equal >= SHARED * len(steps) and agreement(later, earlier) >= SHARED:
            return distance
    return None


def _usual_distance(steps: Sequence[float], width: int) -> int | None:
    """Returns the most common distance from `width` steps to the same ones before; None if none occur again."""
    last: dict[tuple[float, ...], int] = {}
    distances: Counter[int] = Counter()
    for place in range(len(steps) - width + 1):
        word = tuple(steps[place : place + width])
        if word in last:
            distances[place - last[word]] += 1
        last[word] = place
    return distances.most_common(1)[0][0] if distances else None


class KnownSeries:
    """The series read so far, indexed by steps and shape."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._steps: list[Sequence[float]] = []
        self._by_step: dict[tuple[int, float], list[int]] = defaultdict(list)
        self._by_steps: dict[tuple[float, ...], int] = {}
        self._shapes: list[tuple[float, int, list[float]]] = []

    def add(self, name: str, steps: Sequence[float]) -> tuple[str, str] | None:
        """Adds a series. Returns the name of the earlier one that it copies, and the kind of copy; None if there is
        none."""
        number, in_order, shape = len(self._names), tuple(sorted(steps)), _shape(steps)
        original = self._original(steps, in_order, shape)
        self._names.append(name)
        self._steps.append(steps)
        self._by_steps[in_order] = number
        for place in enumerate(steps):
            self._by_step[place].append(number)
        if shape:
            insort(self._shapes, (shape[-1], number, shape))
        return None if original is None else (self._names[original[0]], original[1])

    def _original(
        self, steps: Sequence[float], in_order: tuple[float, ...], shape: list[float]
    ) -> tuple[int, str] | None:
        """Returns the number of the earlier series that has these steps, and the kind of copy; None if there is none.
        `in_order` are the sorted steps."""
        shared = Counter(other for place in enumerate(steps) for other in self._by_step[place]).most_common(1)
        for other, count in shared:
            if count >= SHARED * len(steps) and agreement(self._steps[other], steps) >= SHARED:
                return other, SAME
        if not _differ_within(steps):
            return None
        if in_order in self._by_steps:
            return self._by_steps[in_order], REORDERED
        scaled = self._scaled_copy(shape)
        return None if scaled is None else (scaled, SCALED)

    def _scaled_copy(self, shape: list[float]) -> int | None:
        """Returns the number of the earlier series that has this shape; None if there is none."""
        if not shape:
            return None
        key = shape[-1]
        for other_key, other, theirs in self._shapes[bisect_left(self._shapes, (key - SAME_SHAPE,)) :]:
            if other_key > key + SAME_SHAPE:
                break
            if _have_one_shape(shape, theirs):
                return other
        return None


class Copies:
    """The records read so far, by session id and by their steps."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._series = KnownSeries()

    def differences(self, name: str, record: SessionRecord) -> Iterator[str]:
        """Yields a line for each earlier record that this record copies, then adds it under `name`. The record must
        have no other faults."""
        session = record.session.id
        if session in self._ids:
            if self._ids[session] != name:
                yield f"session {session} is also in {self._ids[session]}"
            return
        self._ids[session] = name
        if isinstance(record, MeasuredRecord) and (original := self._series.add(name, record.passes.wall.steps_ms)):
            other, kind_of_copy = original
            yield f"passes.wall: {kind_of_copy} as {other}, which is another session"
