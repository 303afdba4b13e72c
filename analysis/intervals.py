"""Intervals over sessions: the session, never the step, is the unit of statistics."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

FEWEST_FOR_AN_INTERVAL = 5
RESAMPLES = 9999


def of_sessions(values: Sequence[float]) -> tuple[float, float, str]:
    """(low, high, kind): the range below 5 sessions, else the bootstrap's 95 % interval of the median.

    kind is `none` for one session, `range` or `ci95`. The bootstrap is scipy's (BCa), its seed fixed.
    """
    if len(values) < FEWEST_FOR_AN_INTERVAL or min(values) == max(values):
        return min(values), max(values), "range" if len(values) > 1 else "none"
    import numpy as np
    from scipy.stats import bootstrap

    found = bootstrap((np.asarray(values),), np.median, n_resamples=RESAMPLES, rng=0, vectorized=True)
    low, high = float(found.confidence_interval.low), float(found.confidence_interval.high)
    return (low, high, "ci95") if low == low and high == high else (min(values), max(values), "range")


def centre(values: Sequence[float | None]) -> float | None:
    """Median of what is there; None when nothing is."""
    present = [value for value in values if value is not None]
    return median(present) if present else None
