"""The tail of a session's steps: how often they miss a deadline, and percentiles, with upper 95 % confidence bounds.

Steps within a session are autocorrelated, so n of them are worth n / τ independent ones. τ is the integrated
autocorrelation time of 1[t > p90], or that of 1[t > deadline] if it is longer: rare slow steps that come in bursts
hardly show in the former. The bound is Clopper-Pearson's at the effective sample size, as for survey data (Korn and
Graubard 1998, Survey Methodology 24): missed / τ of n / τ, in the beta distribution, which needs no whole numbers.
`python -m analysis tail-coverage` simulates how often it holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from runner.record.autocorrelation import Indicators, autocovariances, indicators, initial_positive
from runner.record.quantiles import CONFIDENCE

Windows = Sequence[Sequence[float]]
"""Times of steps, one sequence per window; the windows are independent restarts."""

SLOWEST = 0.1
"""The share of steps whose autocorrelation counts: those above p90."""
PRECISION = 1e-14
"""Relative precision of a bound: ten times that of the beta function below."""


@dataclass(frozen=True)
class Effective:
    """A number of steps, their integrated autocorrelation time, and the number of independent steps they are worth."""

    n: int
    tau: float
    n_eff: float


@dataclass(frozen=True)
class Miss:
    """Chunks of steps that took longer than a deadline, their share, and the upper 95 % bound on the probability."""

    missed: int
    chunks: int
    probability: float
    upper: float
    tau: float
    n_eff: float


def effective(windows: Windows) -> Effective:
    """Returns what a sample of steps is worth. Without any difference between steps, or without steps, τ is 1."""
    n = sum(map(len, windows))
    tau = initial_positive(autocovariances(slowest(windows))) if n else 1.0
    return Effective(n, tau, n / tau)


def miss(windows: Windows, deadline_ms: float, tokens: int = 1) -> Miss | None:
    """Returns how often `tokens` consecutive steps together take longer than the deadline; None without a chunk.

    Chunks are disjoint and lie within a window. The steps that remain at its end are not used.
    """
    chunks = chunked(windows, tokens)
    size = effective(chunks)
    if not size.n:
        return None
    late = longer(chunks, deadline_ms)
    missed = late.yes.bit_count()
    tau = max(size.tau, initial_positive(autocovariances(late)))
    n_eff = size.n / tau
    return Miss(missed, size.n, missed / size.n, upper_bound(missed / tau, n_eff), tau, n_eff)


def percentile_bound(windows: Windows, percent: float) -> float | None:
    """Returns an upper 95 % confidence bound on a percentile: the smallest observed step that, as a deadline, is missed
    with a probability of at most 1 - percent / 100 by its bound, and so is every longer one. None if the sample cannot
    support it."""
    size = effective(windows)
    found = None
    for step in sorted({*chain(*windows)}, reverse=True):
        late = longer(windows, step)
        tau = max(size.tau, initial_positive(autocovariances(late)))
        if not _is_bound(1 - percent / 100, late.yes.bit_count() / tau, size.n / tau):
            break
        found = step
    return found


def upper_bound(missed: float, n_eff: float) -> float:
    """Returns the one-sided 95 % Clopper-Pearson bound on a probability; 1 if all are missed or there are none.

    Newton's method, with a bisection for each step out of the bracket. Bisection alone takes some three times as long.
    """
    if missed >= n_eff:
        return 1.0
    a, b = missed + 1, n_eff - missed
    low, high, bound = 0.0, 1.0, a / (a + b)
    while high - low > PRECISION * high:
        excess = _incomplete_beta(bound, a, b) - CONFIDENCE
        low, high = (low, bound) if excess >= 0 else (bound, high)
        density = math.exp(_log_front(bound, a, b)) / (bound * (1 - bound))
        beyond = math.copysign(PRECISION / 4 * bound, excess)  # so that the next step closes the bracket's other end
        newton = bound - excess / density - beyond if density else low
        bound = newton if low < newton < high else (low + high) / 2
    return high


def _is_bound(probability: float, missed: float, n_eff: float) -> bool:
    """Tells if a larger probability would let as few be missed in 5 % of the samples, or in fewer."""
    return missed < n_eff and _incomplete_beta(probability, missed + 1, n_eff - missed) >= CONFIDENCE


def chunked(windows: Windows, tokens: int) -> Windows:
    """Returns the times of disjoint chunks of consecutive steps, by window."""
    return [
        [sum(window[start : start + tokens]) for start in range(0, len(window) - tokens + 1, tokens)]
        for window in windows
    ]


def longer(windows: Windows, time: float) -> Indicators:
    """Returns 1[t > time]."""
    return indicators([[step > time for step in window] for window in windows])


def slowest(windows: Windows) -> Indicators:
    """Returns 1[t > p90], or 1[t >= p90] if p90 is the largest step. `windows` has a step."""
    steps = sorted(chain(*windows))
    p90 = steps[math.ceil((1 - SLOWEST) * len(steps)) - 1]
    if p90 < steps[-1]:
        return longer(windows, p90)
    return indicators([[step >= p90 for step in window] for window in windows])


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Returns the regularised incomplete beta function I_x(a, b) for 0 < x < 1, by its continued fraction (Lentz's
    method; Numerical Recipes, 3rd ed., section 6.4)."""
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(1 - x, b, a)
    return math.exp(_log_front(x, a, b)) / a / _continued_fraction(x, a, b)


def _log_front(x: float, a: float, b: float) -> float:
    """Returns the logarithm of x^a (1 - x)^b / B(a, b)."""
    return math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Returns 1 + d1 / (1 + d2 / (1 + …)), the reciprocal of the fraction in that section's equation 6.4.5."""
    fraction, c, d = 1.0, 1.0, 0.0
    for index in range(1, 10_000):
        m = index // 2
        numerator = -(a + m) * (a + b + m) if index % 2 else m * (b - m)
        term = numerator * x / ((a + index - 1) * (a + index))
        d = 1 / (1 + term * d)
        c = 1 + term / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return fraction
