"""Intervals over sessions: the session, never the step, is the unit of statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from statistics import median

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Interval = tuple[float, float, str]

CONFIDENCE = 0.95
FEWEST_FOR_AN_INTERVAL = 5
NONE, RANGE, CI95 = "none", "range", "ci95"


def session_interval(values: Sequence[float]) -> Interval:
    """(low, high, kind) of the median: the range below 5 sessions, else the interval of `median_interval`.

    kind is NONE for one session, RANGE or CI95.
    """
    return group_intervals([values])[0]


def group_intervals(groups: Sequence[Sequence[float]]) -> list[Interval]:
    """The same of several groups of as many sessions each."""
    values = np.asarray(groups, dtype=float)
    if values.shape[1] < FEWEST_FOR_AN_INTERVAL:
        kind = RANGE if values.shape[1] > 1 else NONE
        low, high = values.min(axis=1), values.max(axis=1)
    else:
        kind = CI95
        low, high = median_interval(values)
    return [(float(start), float(end), kind) for start, end in zip(low, high, strict=True)]


def median_interval(values: Floats) -> tuple[Floats, Floats]:
    """The 95 % interval of the median of each row [groups, sessions]: between two order statistics, interpolated
    (Hettmansperger and Sheather 1986). Below six sessions none reaches 95 %: the whole range, 93.75 % at five (`label`
    says so)."""
    ordered = np.sort(values, axis=1)
    depth, inwards = interval_depth(values.shape[1])
    outer, inner = (ordered[:, depth - 1], ordered[:, -depth]), (ordered[:, depth], ordered[:, -depth - 1])
    low, high = ((1 - inwards) * out + inwards * in_ for out, in_ in zip(outer, inner, strict=True))
    return low, high


def label(kind: str, count: int) -> str | None:
    """What low and high of so many sessions are, as a table says it: `range`, or what the interval covers (the range of
    five holds the median in 93.75 %). None of one session."""
    if kind != CI95:
        return None if kind == NONE else RANGE
    return f"{100 * min(CONFIDENCE, 1 - 2 / 2**count):g} %"


@cache
def interval_depth(count: int) -> tuple[int, float]:
    """How many sessions from either end the median's interval ends, and which part of the way to the next one."""
    # coverages[depth - 1] = 1 − 2 · P(X < depth) of X ~ Binomial(count, 1/2)
    below = accumulate(math.comb(count, place) for place in range(count // 2))
    coverages = [1 - 2 * total / 2**count for total in below]
    depth = max((d for d in range(1, count // 2) if coverages[d - 1] >= CONFIDENCE), default=1)
    surplus = max(0.0, coverages[depth - 1] - CONFIDENCE)
    share = surplus / (coverages[depth - 1] - coverages[depth])
    return depth, (count - depth) * share / (depth + (count - 2 * depth) * share)


def ratio_interval(ratio: float, value: float, low: float, high: float) -> tuple[float, float]:
    """(low, high) of a ratio of something constant to a value with this interval: the value's own, turned round."""
    return ratio * value / high, ratio * value / low


def centre(values: Sequence[float | None]) -> float | None:
    """Median of what is there; None when nothing is."""
    present = [value for value in values if value is not None]
    return median(present) if present else None
