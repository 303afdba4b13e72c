"""Records that are one measurement: two processes do not time their steps alike to the nanosecond.

Three marks are looked for: the same session id; half of the wall pass's steps equal, in whatever order; and steps that
are those of another session times a factor.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from runner import metrics

SHARED = 0.5
"""Among the committed sessions no two share more than one of thirty steps."""
SAME_SHAPE = 1e-5
"""Sorted steps over their median: those of the two committed sessions that are most alike differ by 5e-4."""
FEWEST = 3  # steps of a pass, by any protocol

Record = Mapping[str, Any]


class Copies:
    """The records that were seen so far, by what they are known by."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._names: list[str] = []
        self._by_step: dict[float, list[int]] = defaultdict(list)
        self._shapes: list[tuple[float, int, list[float]]] = []

    def differences(self, name: str, found: Record) -> Iterator[str]:
        """Yields a line for each earlier record that this right one is a copy of, then remembers it under `name`."""
        session = found["session"]["id"]
        if session in self._ids:
            if self._ids[session] != name:
                yield f"session {session} is in {self._ids[session]} as well"
            return
        self._ids[session] = name
        steps = [step for step in metrics.lookup(found, "passes.wall.steps_ms") or () if step > 0]
        if len(steps) < FEWEST:
            return
        number = len(self._names)
        if (other := self._sharing(steps)) is not None:
            yield f"passes.wall: the steps of {self._names[other]}, though its session is another"
        elif (other := self._scaled(steps, number)) is not None:
            yield f"passes.wall: the steps of {self._names[other]} times a factor, though its session is another"
        self._names.append(name)
        for step in set(steps):
            self._by_step[step].append(number)

    def _sharing(self, steps: list[float]) -> int | None:
        """The earlier record that has half of these steps, or more of them."""
        counts = Counter(number for step in set(steps) for number in self._by_step[step])
        (other, count), *_ = counts.most_common(1) or [(0, 0)]
        return other if count >= SHARED * len(set(steps)) else None

    def _scaled(self, steps: list[float], number: int) -> int | None:
        """The earlier record whose sorted steps, over their median, are these."""
        middle = median(steps)
        shape = [step / middle for step in sorted(steps)]
        key = shape[-1]
        found = None
        for other_key, other, theirs in self._shapes[bisect_left(self._shapes, (key - SAME_SHAPE,)) :]:
            if other_key > key + SAME_SHAPE:
                break
            if len(theirs) == len(shape) and all(abs(a - b) <= SAME_SHAPE for a, b in zip(shape, theirs, strict=True)):
                found = other
                break
        insort(self._shapes, (key, number, shape))
        return found
