"""Estimators of the integrated autocorrelation time that the one of the records is compared with."""

from __future__ import annotations

from collections.abc import Iterable


def initial_monotone(covariances: Iterable[float]) -> float:
    """Returns the integrated autocorrelation time by Geyer's initial monotone sequence: none of the pairs of lags
    counts for more than the one before."""
    lags = iter(covariances)
    variance = next(lags, 0.0)
    if variance <= 0:
        return 1.0
    total = smallest = variance + next(lags, 0.0)
    for even in lags:
        smallest = min(smallest, even + next(lags, 0.0))
        if smallest <= 0:
            break
        total += smallest
    return max(1.0, 2 * total / variance - 1)


def automatic_window(covariances: Iterable[float]) -> float:
    """Returns the integrated autocorrelation time by the automatic window of Sokal (1997, Monte Carlo Methods in
    Statistical Mechanics, section 3): lags up to five times the time itself."""
    lags = iter(covariances)
    variance = next(lags, 0.0)
    time = 1.0
    for lag, covariance in enumerate(lags if variance > 0 else (), start=1):
        time += 2 * covariance / variance
        if lag >= 5 * time:
            break
    return max(1.0, time)
