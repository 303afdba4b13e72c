"""The tail of a session's steps: how often they miss a deadline, and percentiles, with upper 95 % confidence bounds.

Steps within a session are autocorrelated, so n of them say as much as n / τ independent ones. τ is the integrated
autocorrelation time of 1[t > p90], estimated by the initial positive sequence (Geyer 1992, Practical Markov chain Monte
Carlo, Statistical Science 7). The bound is Clopper-Pearson's at the effective sample size, as for survey data (Korn and
Graubard 1998, Survey Methodology 24): counts and sizes need not be whole, because the beta distribution is continuous.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from runner.record.quantiles import CONFIDENCE

Windows = Sequence[Sequence[float]]
"""Steps, one sequence per window; the windows are independent restarts."""


@dataclass(frozen=True)
class Effective:
    """A number of steps, their integrated autocorrelation time, and the number of independent steps they are worth."""

    n: int
    tau: float
    n_eff: float


@dataclass(frozen=True)
class Miss:
    """Chunks that took longer than a deadline, their share, and the upper 95 % bound on its expectation."""

    missed: int
    chunks: int
    probability: float
    upper: float
    tau: float
    n_eff: float


def effective(windows: Windows) -> Effective:
    """Returns the effective size of a sample of steps. If nothing can be told from it (a constant one), τ is 1."""
    n = sum(map(len, windows))
    tau = autocorrelation_time(_slowest_tenth(windows)) if n else 1.0
    return Effective(n, tau, n / tau)


def miss(windows: Windows, deadline_ms: float, tokens: int = 1) -> Miss | None:
    """Returns how often `tokens` consecutive steps of a window take longer than the deadline; None without a chunk.

    Chunks are disjoint. The steps that remain at the end of a window are not used.
    """
    chunks = [_chunks(window, tokens) for window in windows]
    size = effective(chunks)
    if not size.n:
        return None
    missed = sum(time > deadline_ms for time in chain(*chunks))
    upper = upper_bound(missed / size.tau, size.n_eff)
    return Miss(missed, size.n, missed / size.n, upper, size.tau, size.n_eff)


def percentile_bound(windows: Windows, percent: float) -> float | None:
    """Returns an upper 95 % confidence bound on a percentile: the smallest observed step that the probability of a
    longer one, at its own bound, permits. None if the sample is too small."""
    size = effective(windows)
    steps = sorted(chain(*windows), reverse=True)
    supported = bisect_right(
        range(size.n), 1 - percent / 100, key=lambda longer: upper_bound(longer / size.tau, size.n_eff)
    )
    return steps[supported - 1] if supported else None


def upper_bound(missed: float, n_eff: float) -> float:
    """Returns the one-sided 95 % Clopper-Pearson bound on a probability: the p with I_p(missed + 1, n_eff - missed) =
    0.95, by bisection. All missed, or no sample, bounds nothing: 1."""
    if missed >= n_eff:
        return 1.0
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        if _incomplete_beta(middle, missed + 1, n_eff - missed) < CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def _chunks(window: Sequence[float], tokens: int) -> list[float]:
    return [sum(window[start : start + tokens]) for start in range(0, len(window) - tokens + 1, tokens)]


@dataclass(frozen=True)
class Indicators:
    """A yes or no per step, as the bits of an integer: step i is bit i."""

    bits: int
    length: int


def _slowest_tenth(windows: Windows) -> list[Indicators]:
    """Returns 1[t > p90], or 1[t >= p90] if so many steps are equally slow that none is slower than p90."""
    steps = sorted(chain(*windows))
    p90 = steps[math.ceil(0.9 * len(steps)) - 1]
    if steps[-1] > p90:
        return [_indicators([step > p90 for step in window]) for window in windows]
    return [_indicators([step >= p90 for step in window]) for window in windows]


def _indicators(values: Sequence[bool]) -> Indicators:
    return Indicators(int("0" + "".join("01"[value] for value in reversed(values)), 2), len(values))


def autocorrelation_time(series: Sequence[Indicators]) -> float:
    """Returns the integrated autocorrelation time 1 + 2 Σ ρ(k), at least 1: Geyer's initial positive sequence.

    The sum ends before the first pair of lags 2m and 2m + 1 whose autocovariances are not positive in sum.
    """
    covariances = autocovariances(series)
    variance = next(covariances, 0.0)
    if not variance:
        return 1.0
    total = variance + next(covariances, 0.0)
    for even in covariances:
        pair = even + next(covariances, 0.0)
        if pair <= 0:
            break
        total += pair
    return max(1.0, 2 * total / variance - 1)


def autocovariances(series: Sequence[Indicators]) -> Iterator[float]:
    """Yields the autocovariance at lags 0, 1, 2, …: pairs within windows, around the mean of all, divided by n."""
    n = sum(each.length for each in series)
    mean = sum(each.bits.bit_count() for each in series) / n if n else 0.0
    for lag in range(max((each.length for each in series), default=0)):
        yield sum(_products(each, lag, mean) for each in series) / n


def _products(one: Indicators, lag: int, mean: float) -> float:
    """Returns Σ (x(i) - mean) (x(i + lag) - mean)."""
    pairs = max(0, one.length - lag)
    later = one.bits >> lag
    earlier = one.bits & ((1 << pairs) - 1)
    both = (earlier & later).bit_count()
    return both - mean * (earlier.bit_count() + later.bit_count()) + pairs * mean**2


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Returns the regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz's method; Numerical
    Recipes, 3rd ed., section 6.4)."""
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(1 - x, b, a)
    if not x:
        return 0.0
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) / a / _continued_fraction(x, a, b)


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Returns 1 + d(1) / (1 + d(2) / (1 + …)))."""
    f, c, d = 1.0, 1.0, 0.0
    for index in range(1, 10_000):
        m = index // 2
        numerator = m * (b - m) if index % 2 == 0 else -(a + m) * (a + b + m)
        term = numerator * x / ((a + index - 1) * (a + index))
        d = 1 / (1 + term * d)
        c = 1 + term / c
        f *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return f
