"""The ratio of two cells' steps, from sessions that were not measured as an A/B.

Only sessions of the same host are compared. Hosts are combined as in `comparison`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.statistics import intervals
from analysis.statistics.comparison import combined_distances
from analysis.statistics.intervals import CI95, NONE, RANGE
from runner.ab.manifest import FEWEST_FOR_AN_INTERVAL

Arms = tuple[Sequence[float], Sequence[float]]
"""Session medians of one host in ms: those of the baseline, and those of the compared cell."""


@dataclass(frozen=True)
class Saving:
    """A ratio with its interval: the baseline's step over the other's, so that above 1 time is saved.

    From five sessions of both arms on, `low` and `high` are the confidence interval (`interval` is `ci95`). Below, they
    are the smallest and largest ratio of two sessions of one host (`range`), or the ratio itself for one pair (`none`).
    `label` is the coverage of the interval. `hosts` counts the hosts used.
    """

    ratio: float
    low: float
    high: float
    interval: str
    label: str | None
    hosts: int


def within_hosts(hosts: Sequence[Arms]) -> Saving:
    """Returns the saving over these hosts, each with at least one session of both arms.

    If some host has five sessions of each arm, hosts with fewer are left out. The weight of a host with n and m
    sessions is n · m / (n + m), proportional to the inverse variance of its log ratio at equal scatter.
    """
    used = [arms for arms in hosts if _is_enough(arms)] or list(hosts)
    shares = [len(a) * len(b) / (len(a) + len(b)) for a, b in used]
    weights = np.array(shares) / sum(shares)
    log_ratio = float(weights @ [math.log(np.median(a) / np.median(b)) for a, b in used])
    ratio = math.exp(log_ratio)
    if all(map(_is_enough, used)):
        down, up = combined_distances(weights, [(np.log(a)[None], np.log(b)[None]) for a, b in used])
        low, high = math.exp(log_ratio - down.item()), math.exp(log_ratio + up.item())
        return Saving(ratio, low, high, CI95, _label(CI95, used), len(used))
    low = min(min(a) / max(b) for a, b in used)
    high = max(max(a) / min(b) for a, b in used)
    kind = RANGE if any(len(a) + len(b) > 2 for a, b in used) or len(used) > 1 else NONE
    return Saving(ratio, low, high, kind, _label(kind, used), len(used))


def _is_enough(arms: Arms) -> bool:
    return min(map(len, arms)) >= FEWEST_FOR_AN_INTERVAL


def _label(kind: str, used: Sequence[Arms]) -> str | None:
    """Returns the label. Over several hosts the coverage is that of all their sessions (docs/statistics.md)."""
    return intervals.label(kind, sum(min(map(len, arms)) for arms in used))
