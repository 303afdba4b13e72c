"""Detection of copied steps: two runs do not have the same step times to the nanosecond."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from statistics import median

from runner.record.sessionrecord import MeasuredRecord, SessionRecord

SHARED = 0.5
"""Share of equal steps from which on two series are copies. Any two committed sessions share at most one step in
thirty."""
SAME_SHAPE = 1e-5
"""Largest difference of two equal shapes (sorted steps / median). The two most similar committed sessions differ by
5e-4."""
MINIMUM_STEPS, MINIMUM_SPREAD = 20, 1e-3
"""Smallest number of steps, and smallest range of steps / median, of a shape that identifies a series."""

SAME, REORDERED, SCALED = "the same steps", "the same steps in another order", "the same steps times a factor"


def likeness(ours: Sequence[float], theirs: Sequence[float]) -> str | None:
    """Returns the kind of copy if one series is a copy of the other; else None."""
    equal = sum(a == b for a, b in zip(ours, theirs, strict=False))
    if equal >= SHARED * max(len(ours), len(theirs)):
        return SAME
    if sorted(ours) == sorted(theirs):
        return REORDERED
    return SCALED if _have_one_shape(_shape(ours), _shape(theirs)) else None


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
    last: dict[float, int] = {}
    distances: Counter[int] = Counter()
    for place, step in enumerate(steps):
        if step in last:
            distances[place - last[step]] += 1
        last[step] = place
    if not distances or not _shape(steps):
        return None
    distance, count = distances.most_common(1)[0]
    return distance if count >= SHARED * len(steps) else None


class Copies:
    """The records read so far, indexed by session id, steps and shape."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._names: list[str] = []
        self._by_step: dict[tuple[int, float], list[int]] = defaultdict(list)
        self._by_steps: dict[tuple[float, ...], int] = {}
        self._shapes: list[tuple[float, int, list[float]]] = []

    def differences(self, name: str, record: SessionRecord) -> Iterator[str]:
        """Yields a line for each earlier record that this record copies, then adds it under `name`. The record must
        have no other faults."""
        session = record.session.id
        if session in self._ids:
            if self._ids[session] != name:
                yield f"session {session} is also in {self._ids[session]}"
            return
        self._ids[session] = name
        if isinstance(record, MeasuredRecord):
            yield from self._step_differences(name, record.passes.wall.steps_ms)

    def _step_differences(self, name: str, steps: Sequence[float]) -> Iterator[str]:
        number, in_order = len(self._names), tuple(sorted(steps))
        shared = Counter(other for place in enumerate(steps) for other in self._by_step[place]).most_common(1)
        other: int | None
        if shared and shared[0][1] >= SHARED * len(steps):
            other, kind_of_copy = shared[0][0], SAME
        elif in_order in self._by_steps:
            other, kind_of_copy = self._by_steps[in_order], REORDERED
        else:
            other, kind_of_copy = self._scaled_copy(_shape(steps)), SCALED
        if other is not None:
            yield f"passes.wall: {kind_of_copy} as {self._names[other]}, which is another session"
        self._names.append(name)
        self._by_steps[in_order] = number
        for place in enumerate(steps):
            self._by_step[place].append(number)
        if shape := _shape(steps):
            insort(self._shapes, (shape[-1], number, shape))

    def _scaled_copy(self, shape: list[float]) -> int | None:
        """Returns the number of the earlier record whose steps have this shape; None if there is none."""
        if not shape:
            return None
        key = shape[-1]
        for other_key, other, theirs in self._shapes[bisect_left(self._shapes, (key - SAME_SHAPE,)) :]:
            if other_key > key + SAME_SHAPE:
                break
            if _have_one_shape(shape, theirs):
                return other
        return None
