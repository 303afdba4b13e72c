"""The integrated autocorrelation time of a yes or no per step: the number of steps that are worth one independent step.

The autocovariance at lag k is that of the pairs of steps i and i + k of one window, around the mean of all windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

DIGITS = bytes.maketrans(b"\0\1", b"01")


@dataclass(frozen=True)
class Indicators:
    """A yes or no per step, as the bits of two integers. Gaps between windows are as long as the longest window."""

    yes: int
    """bit of each step that is a yes"""
    steps: int
    """bit of each step"""
    lags: int
    """length of the longest window, which no pair of steps is as far apart as"""


def indicators(windows: Sequence[Sequence[bool]]) -> Indicators:
    """Returns the indicators of windows that are independent of one another."""
    longest = max(map(len, windows), default=0)
    gap = bytes(longest)
    yes = gap.join(map(bytes, windows))
    steps = gap.join(b"\1" * len(window) for window in windows)
    return Indicators(_bits(yes), _bits(steps), longest)


def _bits(digits: bytes) -> int:
    return int(digits.translate(DIGITS) or b"0", 2)


def autocovariances(series: Indicators) -> Iterator[float]:
    """Yields n times the autocovariance at lags 0, 1, 2, …: the sum over pairs of (x - mean) (y - mean)."""
    yes, steps = series.yes, series.steps
    mean = yes.bit_count() / steps.bit_count() if steps else 0.0
    for lag in range(series.lags):
        pairs = (steps & steps >> lag).bit_count()
        single = (yes & steps >> lag).bit_count() + (steps & yes >> lag).bit_count()
        yield (yes & yes >> lag).bit_count() - mean * single + mean**2 * pairs


def initial_positive(covariances: Iterable[float]) -> float:
    """Returns 1 + 2 Σ ρ(k), at least 1, by the initial positive sequence of Geyer (1992, Practical Markov chain Monte
    Carlo, Statistical Science 7, section 3.3).

    The sum ends before the first pair of lags 2m and 2m + 1 whose autocovariances have a sum that is not positive. An
    indicator that never changes has no autocovariance: 1.
    """
    lags = iter(covariances)
    variance = next(lags, 0.0)
    if variance <= 0:
        return 1.0
    total = variance + next(lags, 0.0)
    for even in lags:
        pair = even + next(lags, 0.0)
        if pair <= 0:
            break
        total += pair
    return max(1.0, 2 * total / variance - 1)
