"""Confidence intervals over sessions. The session, not the step, is the statistical sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from statistics import median

import numpy as np
from numpy.typing import NDArray

from runner.ab.manifest import FEWEST_FOR_AN_INTERVAL

Floats = NDArray[np.float64]
Interval = tuple[float, float, str]

CONFIDENCE = 0.95
NONE, RANGE, CI95 = "none", "range", "ci95"


def session_interval(values: Sequence[float]) -> Interval:
    """Returns (low, high, kind) of the median of sessions.

    kind is NONE for one session, RANGE below five sessions, else CI95 with the interval of `median_interval`.
    """
    (interval,) = group_intervals([values])
    return interval


def group_intervals(groups: Sequence[Sequence[float]]) -> list[Interval]:
    """Returns the same for several groups with equally many sessions."""
    values = np.asarray(groups, dtype=float)
    if values.shape[1] < FEWEST_FOR_AN_INTERVAL:
        kind = RANGE if values.shape[1] > 1 else NONE
        ends = values.min(axis=1), values.max(axis=1)
    else:
        kind = CI95
        ends = median_interval(values)
    return [(low, high, kind) for low, high in np.transpose(ends).tolist()]


def median_interval(values: Floats) -> tuple[Floats, Floats]:
    """Returns the ends of the 95 % interval of the median of each row of [groups, sessions].

    The ends are interpolated between two order statistics (Hettmansperger and Sheather 1986). At five sessions no pair
    reaches 95 %, so the interval is the whole range with a coverage of 93.75 % (see `label`).
    """
    ordered = np.sort(values, axis=1)
    depth, inwards = interval_depth(values.shape[1])
    low = (1 - inwards) * ordered[:, depth - 1] + inwards * ordered[:, depth]
    high = (1 - inwards) * ordered[:, -depth] + inwards * ordered[:, -depth - 1]
    return low, high


def label(kind: str, count: int) -> str | None:
    """Returns `range` or the coverage of the interval, as tables show it; None for one session.

    The range of five sessions covers the median in 93.75 %.
    """
    if kind != CI95:
        return None if kind == NONE else RANGE
    return f"{100 * min(CONFIDENCE, 1 - 2 / 2**count):g} %"


@cache
def interval_depth(count: int) -> tuple[int, float]:
    """Returns the depth of the median's interval from either end, and the fraction of the way to the next session."""
    # coverages[depth - 1] = 1 − 2 · P(X < depth) for X ~ Binomial(count, 1/2)
    below = accumulate(math.comb(count, place) for place in range(count))
    coverages = [1 - 2 * total / 2**count for total in below]
    depth = max(1, sum(coverage >= CONFIDENCE for coverage in coverages))
    surplus = max(0.0, coverages[depth - 1] - CONFIDENCE)
    share = surplus / (coverages[depth - 1] - coverages[depth])
    return depth, (count - depth) * share / (depth + (count - 2 * depth) * share)


def ratio_interval(ratio: float, value: float, low: float, high: float) -> tuple[float, float]:
    """Returns (low, high) of the ratio of a constant to a value, from the value's interval."""
    return ratio * value / high, ratio * value / low


def centre(values: Sequence[float | None]) -> float | None:
    """Returns the median of the values that are not None, None if there is none."""
    present = [value for value in values if value is not None]
    return median(present) if present else None
