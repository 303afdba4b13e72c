"""A line through points by least squares, and where it reaches a value, both with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.statistics.intervals import CONFIDENCE

FEWEST = 3
"""Fewest points of a fit: two determine a line and leave nothing to estimate its scatter from."""


@dataclass(frozen=True)
class Line:
    """A line fitted to points. `low` and `high` are the ends of the 95 % confidence interval of its slope.

    `residual` is the standard deviation of the points about the line, in units of y, `r2` the share of the variance of
    y that the line explains. `slack` is (t · residual)², with t the quantile of Student's distribution.
    """

    count: int
    slope: float
    low: float
    high: float
    mean_x: float
    mean_y: float
    spread: float
    """sum of the squared distances of x from its mean"""
    residual: float
    r2: float
    slack: float

    @property
    def intercept(self) -> float:
        """Returns y at x = 0."""
        return self.mean_y - self.slope * self.mean_x

    def reaches(self, y: float) -> tuple[float, float, float] | None:
        """Returns (x, low, high) where the line reaches y, with the ends of its 95 % interval (Fieller 1954).

        Returns None if the interval of the slope includes 0: the interval of x is then unbounded.
        """
        above = y - self.mean_y
        # all u = x - mean_x with (above - slope·u)² ≤ slack · (1/count + u²/spread)
        square = self.slope**2 - self.slack / self.spread
        if square <= 0:
            return None
        root = math.sqrt((self.slope * above) ** 2 - square * (above**2 - self.slack / self.count))
        low, high = sorted((self.slope * above + sign * root) / square for sign in (-1, 1))
        return self.mean_x + above / self.slope, self.mean_x + low, self.mean_x + high


def fitted(x: Sequence[float], y: Sequence[float]) -> Line | None:
    """Returns the line of least squares, None for fewer than `FEWEST` points or points with one x."""
    if len(x) < FEWEST or min(x) == max(x):
        return None
    from scipy.stats import t

    xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    away_x, away_y = xs - xs.mean(), ys - ys.mean()
    spread, scatter = float(away_x @ away_x), float(away_y @ away_y)
    slope = float(away_x @ away_y) / spread
    unexplained = float(np.sum((away_y - slope * away_x) ** 2))
    freedom = len(xs) - 2
    slack = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) ** 2 * unexplained / freedom
    half = math.sqrt(slack / spread)
    return Line(
        count=len(xs),
        slope=slope,
        low=slope - half,
        high=slope + half,
        mean_x=float(xs.mean()),
        mean_y=float(ys.mean()),
        spread=spread,
        residual=math.sqrt(unexplained / freedom),
        r2=1 - unexplained / scatter if scatter else 0.0,
        slack=slack,
    )
