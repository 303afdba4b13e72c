"""Series of steps with a known distribution and dependence, in standard deviations of a usual step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Shape = tuple[int, ...]

SLOWER = 10.0
"""Additional time of a slow step over a usual one."""


class Process(Protocol):
    """A stationary series of steps."""

    @property
    def name(self) -> str: ...

    def draw(self, generator: np.random.Generator, shape: Shape) -> Floats:
        """Returns windows along the last axis, independent of one another."""

    def late(self, deadline: float, tokens: int) -> float:
        """Returns the probability that consecutive steps take longer than the deadline."""


@dataclass(frozen=True)
class Autoregressive:
    """Normal steps that depend on the one before. With `phi` 0 they are independent."""

    phi: float

    @property
    def name(self) -> str:
        return f"AR(1), φ = {self.phi:g}" if self.phi else "independent"

    def draw(self, generator: np.random.Generator, shape: Shape) -> Floats:
        steps = generator.standard_normal(shape)
        own = math.sqrt(1 - self.phi**2)
        for step in range(1, shape[-1] if self.phi else 0):
            steps[..., step] = self.phi * steps[..., step - 1] + own * steps[..., step]
        return steps

    def late(self, deadline: float, tokens: int) -> float:
        from scipy.stats import norm

        places = np.arange(tokens)
        variance = np.sum(self.phi ** np.abs(places[:, None] - places))  # of a sum of correlated steps
        return float(norm.sf(deadline / math.sqrt(variance)))


@dataclass(frozen=True)
class Periodic:
    """`slow` slow steps in a row in every `period` steps, as of a clock; each window begins at any of them."""

    period: int
    slow: int

    @property
    def name(self) -> str:
        return f"{self.slow} slow of every {self.period}"

    def draw(self, generator: np.random.Generator, shape: Shape) -> Floats:
        phase = generator.integers(0, self.period, size=(*shape[:-1], 1))
        slow = (phase + np.arange(shape[-1])) % self.period < self.slow
        return SLOWER * slow + generator.standard_normal(shape)

    def late(self, deadline: float, tokens: int) -> float:
        slow = (np.arange(self.period)[:, None] + np.arange(tokens)) % self.period < self.slow
        counts = np.bincount(slow.sum(axis=1), minlength=tokens + 1)
        return _late(counts / self.period, deadline)


@dataclass(frozen=True)
class Bursts:
    """A Markov chain of two states: a share of the steps is slow, in bursts of random length with this mean."""

    share: float
    length: float

    @property
    def name(self) -> str:
        return f"{100 * self.share:g} % slow, in bursts of {self.length:g}"

    @property
    def _end(self) -> float:
        return 1 / self.length

    @property
    def _begin(self) -> float:
        return self._end * self.share / (1 - self.share)

    def draw(self, generator: np.random.Generator, shape: Shape) -> Floats:
        chance = generator.random(shape)
        slow = np.empty(shape, dtype=bool)
        slow[..., 0] = chance[..., 0] < self.share
        for step in range(1, shape[-1]):
            now = chance[..., step]
            slow[..., step] = np.where(slow[..., step - 1], now >= self._end, now < self._begin)
        return SLOWER * slow + generator.standard_normal(shape)

    def late(self, deadline: float, tokens: int) -> float:
        usual: Floats = np.zeros(tokens + 1)  # probability by the number of slow steps so far
        slow: Floats = np.zeros(tokens + 1)
        usual[0], slow[1] = 1 - self.share, self.share
        for _ in range(tokens - 1):
            begun = np.roll(self._begin * usual + (1 - self._end) * slow, 1)
            usual, slow = (1 - self._begin) * usual + self._end * slow, begun
        return _late(usual + slow, deadline)


def _late(slow: Floats, deadline: float) -> float:
    """Returns the probability for the distribution of the number of slow steps among 0, 1, … tokens."""
    from scipy.stats import norm

    numbers = np.arange(len(slow))
    return float(slow @ norm.sf((deadline - SLOWER * numbers) / math.sqrt(len(slow) - 1)))


def deadline(process: Process, probability: float, tokens: int) -> float:
    """Returns the deadline that consecutive steps miss with this probability."""
    from scipy.optimize import brentq

    found = brentq(lambda time: process.late(time, tokens) - probability, -10.0, 2 * SLOWER * tokens, xtol=1e-12)
    return float(found)
