"""Noise of sessions of one cell: shapes fitted to the committed sessions, from which simulations draw.

Sessions scatter to the right: most are close together, some are much slower. Two families model this: a long tail
(`SkewedT`) and a second speed (`TwoSpeeds`). The committed sessions are too few to decide between them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis import groups
from analysis.sources.frame import Frame

Floats = NDArray[np.float64]

SKEWS = (1.0, 1.3, 1.7, 2.2, 2.8, 3.5, 4.5)
FREEDOMS = (1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, math.inf)
SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
DISTANCES = (3.0, 5.0, 7.0, 10.0, 15.0)
PLACES = np.linspace(-8, 8, 121)  # locations of the shape, in half ranges of the group
LOG_SCALES = np.linspace(-5, 4, 73)
FEWEST = 3
SCALE_SESSIONS = 10
SCALE_GROUPS = 100_000


def _normal(values: Floats) -> Floats:
    """Returns the log density of a standard normal distribution."""
    density: Floats = -0.5 * math.log(2 * math.pi) - values**2 / 2
    return density


def _student(values: Floats, freedom: float) -> Floats:
    """Returns the log density of Student's t, in a tenth of the time of scipy's, which also scales and masks."""
    half = (freedom + 1) / 2
    constant = math.lgamma(half) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    density: Floats = constant - half * np.log1p(values**2 / freedom)
    return density


@dataclass(frozen=True)
class SkewedT:
    """A Student t with stretched halves (Fernández and Steel 1998), mode 0 and scale 1.

    The right half is multiplied by `skew`, the left half divided by it; 1 is symmetric. `freedom` is infinite for a
    normal distribution.
    """

    skew: float
    freedom: float

    def draw(self, generator: np.random.Generator, size: tuple[int, ...]) -> Floats:
        normal = math.isinf(self.freedom)
        distance = np.abs(generator.standard_normal(size) if normal else generator.standard_t(self.freedom, size))
        right = generator.random(size) < self.skew**2 / (1 + self.skew**2)
        drawn: Floats = np.where(right, distance * self.skew, -distance / self.skew)
        return drawn

    def log_density(self, values: Floats) -> Floats:
        unstretched = np.where(values >= 0, values / self.skew, values * self.skew)
        base = _normal(unstretched) if math.isinf(self.freedom) else _student(unstretched, self.freedom)
        density: Floats = math.log(2 / (self.skew + 1 / self.skew)) + base
        return density


@dataclass(frozen=True)
class TwoSpeeds:
    """Normal sessions of standard deviation 1, a share of which is slower by `distance`."""

    share: float
    distance: float

    def draw(self, generator: np.random.Generator, size: tuple[int, ...]) -> Floats:
        slow = generator.random(size) < self.share
        drawn: Floats = generator.standard_normal(size) + self.distance * slow
        return drawn

    def log_density(self, values: Floats) -> Floats:
        fast, slow = _normal(values), _normal(values - self.distance)
        density: Floats = np.logaddexp(math.log(1 - self.share) + fast, math.log(self.share) + slow)
        return density


Shape = SkewedT | TwoSpeeds

NORMAL = SkewedT(1.0, math.inf)
TAILS: tuple[Shape, ...] = tuple(itertools.starmap(SkewedT, itertools.product(SKEWS, FREEDOMS)))
SPEEDS: tuple[Shape, ...] = tuple(itertools.starmap(TwoSpeeds, itertools.product(SHARES, DISTANCES)))


@dataclass(frozen=True)
class Noise:
    """A shape with median 0, scaled so that groups of ten sessions have a median standard deviation of 1.

    A heavy tail has no other scale that a group shows. `mean` is the offset of the mean from the median.
    """

    shape: Shape
    middle: float
    scale: float
    mean: float

    def draw(self, generator: np.random.Generator, size: tuple[int, ...], variation: float) -> Floats:
        """Returns deviations of log session medians for the coefficient of variation `variation`."""
        return (self.shape.draw(generator, size) - self.middle) / self.scale * variation


def standardised(shape: Shape) -> Noise:
    """Returns the shape as noise: with median 0 and the scale of groups of ten sessions."""
    drawn = shape.draw(np.random.default_rng(0), (SCALE_GROUPS, SCALE_SESSIONS))
    middle, scale = float(np.median(drawn)), float(np.median(drawn.std(axis=1, ddof=1)))
    return Noise(shape, middle, scale, float(drawn.mean() - middle) / scale)


def session_groups(frame: Frame) -> list[Floats]:
    """Returns the log session medians of every group of at least three valid sessions of one code and host."""
    valid = frame.sessions.filter("valid")
    hosts = valid.group_by(*groups.KEYS, "host_id", maintain_order=True).agg(groups.WALL)
    log_groups = [np.log(np.asarray(values, dtype=float)) for values in hosts[groups.WALL].to_list()]
    return [values for values in log_groups if len(values) >= FEWEST and np.ptp(values) > 0]


def fit(groups: Sequence[Floats], shapes: Sequence[Shape]) -> Shape:
    """Returns the shape with the highest likelihood.

    The location and scale of each group are integrated out under the invariant measure, so that even a group of three
    contributes without an estimate of its mean and deviation.
    """
    return max(shapes, key=lambda shape: log_likelihood(shape, groups))


def log_likelihood(shape: Shape, groups: Sequence[Floats]) -> float:
    """Returns the log likelihood of the groups, up to a constant that is equal for all shapes."""
    from scipy.special import logsumexp

    total = 0.0
    for values in groups:
        centred = (values - np.median(values)) / (np.ptp(values) / 2)
        scaled = (centred[:, None, None] - PLACES[None, :, None]) / np.exp(LOG_SCALES)
        total += float(logsumexp(shape.log_density(scaled).sum(axis=0) - len(values) * LOG_SCALES))
    return total
