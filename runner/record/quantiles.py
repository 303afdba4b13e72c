"""Statistics of a sample of steps: its drift, and jitter, and bounds on tail percentiles if the sample is large
enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median

from runner.cell.protocol import TAIL_STEPS

CONFIDENCE = 0.95


def tail_bound(values: Sequence[float], percent: int) -> float | None:
    """Returns a distribution-free upper 95 % confidence bound on a percentile; None if n is too small.

    The k-th smallest of n values lies above the p-quantile with probability P[Binomial(n, p) < k] (order statistics;
    David & Nagaraja, Order Statistics, 3rd ed., section 7.1). The bound is the value with the smallest k whose
    probability is at least 95 %. At n = 29 and p90, it is the largest value.
    """
    n, p = len(values), percent / 100
    if n < TAIL_STEPS[percent]:
        return None
    below = 0.0
    for k in range(n):
        # in logarithms, because the binomial coefficient overflows a float at about a thousand steps
        log_coefficient = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        below += math.exp(log_coefficient + k * math.log(p) + (n - k) * math.log1p(-p))
        if below >= CONFIDENCE:
            return sorted(values)[k]
    return None


def jitter(windows: Sequence[Sequence[float]]) -> float:
    """Returns the mean absolute difference between the times of consecutive steps of a window: the interarrival jitter
    of RFC 3550 (section 6.4.1), without its smoothing. A window of one step has none; 0 without a pair."""
    differences = [abs(later - earlier) for window in windows for earlier, later in pairwise(window)]
    return fmean(differences) if differences else 0.0


def drift(values: Sequence[float]) -> float:
    """Returns the median of the last third / the median of the first third, minus 1. Stationary steps have 0."""
    third = max(1, len(values) // 3)
    return median(values[-third:]) / median(values[:third]) - 1
