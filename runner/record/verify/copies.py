"""Steps that are one measurement: two runs do not time their steps alike to the nanosecond."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from statistics import median

from runner.record.sessionrecord import MeasuredRecord, SessionRecord

SHARED = 0.5
"""Among the committed sessions no two have more than one of thirty steps alike, wherever it stands."""
SAME_SHAPE = 1e-5
"""Sorted steps over their median: those of the two committed sessions that are most alike differ by 5e-4."""
TELLING_STEPS, TELLING_SPREAD = 20, 1e-3
"""Only so many steps, so far apart (over their median), have a shape of their own."""

SAME, REORDERED, SCALED = "the steps", "the steps in another order", "the steps times a factor"


def likeness(ours: Sequence[float], theirs: Sequence[float]) -> str | None:
    """Returns in what way two series are one; None if they are two."""
    equal = sum(a == b for a, b in zip(ours, theirs, strict=False))
    if equal >= SHARED * max(len(ours), len(theirs)):
        return SAME
    if sorted(ours) == sorted(theirs):
        return REORDERED
    return SCALED if _have_one_shape(_shape(ours), _shape(theirs)) else None


def _shape(steps: Sequence[float]) -> list[float]:
    """Sorted steps over their median; empty where they are too few or too near to each other to tell them by."""
    middle = median(steps)
    shape = [step / middle for step in sorted(steps)] if middle else []
    is_telling = len(shape) >= TELLING_STEPS and shape[-1] - shape[0] >= TELLING_SPREAD
    return shape if is_telling else []


def _have_one_shape(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    if not ours or len(ours) != len(theirs):
        return False
    return all(abs(a - b) <= SAME_SHAPE for a, b in zip(ours, theirs, strict=True))


def period(steps: Sequence[float]) -> int | None:
    """Returns after how many steps a series repeats itself; None if it does not, or its steps tell nothing."""
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
    """The records that were seen so far, by what they are known by."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._names: list[str] = []
        self._by_step: dict[tuple[int, float], list[int]] = defaultdict(list)
        self._by_steps: dict[tuple[float, ...], int] = {}
        self._shapes: list[tuple[float, int, list[float]]] = []

    def differences(self, name: str, record: SessionRecord) -> Iterator[str]:
        """Yields a line for each earlier record that this right one is a copy of, then remembers it under `name`."""
        session = record.session.id
        if session in self._ids:
            if self._ids[session] != name:
                yield f"session {session} is in {self._ids[session]} as well"
            return
        self._ids[session] = name
        if isinstance(record, MeasuredRecord):
            yield from self._step_differences(name, record.passes.wall.steps_ms)

    def _step_differences(self, name: str, steps: Sequence[float]) -> Iterator[str]:
        number, in_order = len(self._names), tuple(sorted(steps))
        shared = Counter(other for place in enumerate(steps) for other in self._by_step[place]).most_common(1)
        other: int | None
        if shared and shared[0][1] >= SHARED * len(steps):
            other, how = shared[0][0], SAME
        elif in_order in self._by_steps:
            other, how = self._by_steps[in_order], REORDERED
        else:
            other, how = self._scaled(_shape(steps)), SCALED
        if other is not None:
            yield f"passes.wall: {how} of {self._names[other]}, though its session is another"
        self._names.append(name)
        self._by_steps[in_order] = number
        for place in enumerate(steps):
            self._by_step[place].append(number)
        if shape := _shape(steps):
            insort(self._shapes, (shape[-1], number, shape))

    def _scaled(self, shape: list[float]) -> int | None:
        """The earlier record whose steps have this shape."""
        if not shape:
            return None
        key = shape[-1]
        for other_key, other, theirs in self._shapes[bisect_left(self._shapes, (key - SAME_SHAPE,)) :]:
            if other_key > key + SAME_SHAPE:
                break
            if _have_one_shape(shape, theirs):
                return other
        return None
