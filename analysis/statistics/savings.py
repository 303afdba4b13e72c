"""By how much is one cell faster than another, from sessions that were not planned as an A/B: only those of one host
are compared, and hosts are put together as those of an A/B are (`comparison`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.statistics import intervals
from analysis.statistics.comparison import ratio_distances
from analysis.statistics.intervals import CI95, FEWEST_FOR_AN_INTERVAL, NONE, RANGE

Arms = tuple[Sequence[float], Sequence[float]]
"""Of one host: the sessions' medians of the baseline, and of what is held against it, in ms."""


@dataclass(frozen=True)
class Saving:
    """`ratio` is the baseline's step over the other's: above 1 it saves time.

    `low` and `high` are the smallest and largest ratio of two sessions of one host below five sessions of either arm
    (`interval` is `range`), else the interval (`ci95`), and the ratio itself where there is one pair (`none`). `label`
    says what the interval covers. `hosts` counts those that are used.
    """

    ratio: float
    low: float
    high: float
    interval: str
    label: str | None
    hosts: int


def within_hosts(hosts: Sequence[Arms]) -> Saving:
    """The saving of sessions of the same hosts, at least one of each arm on each. A host with fewer than five sessions
    of an arm is left out where another has them. A host weighs by how sure its ratio is at equal scatter:
    n · m / (n + m) for n and m sessions."""
    used = [arms for arms in hosts if _is_enough(arms)] or list(hosts)
    shares = [len(a) * len(b) / (len(a) + len(b)) for a, b in used]
    weights = [share / sum(shares) for share in shares]
    log_ratio = sum(
        weight * math.log(np.median(a) / np.median(b)) for weight, (a, b) in zip(weights, used, strict=True)
    )
    ratio = math.exp(log_ratio)
    if _is_enough(used[0]):
        down, up = _distances(used, weights)
        return Saving(ratio, math.exp(log_ratio - down), math.exp(log_ratio + up), CI95, _label(used), len(used))
    low = min(min(a) / max(b) for a, b in used)
    high = max(max(a) / min(b) for a, b in used)
    kind = RANGE if any(len(a) + len(b) > 2 for a, b in used) or len(used) > 1 else NONE
    return Saving(ratio, low, high, kind, intervals.label(kind, 0), len(used))


def _is_enough(arms: Arms) -> bool:
    return min(map(len, arms)) >= FEWEST_FOR_AN_INTERVAL


def _distances(used: Sequence[Arms], weights: Sequence[float]) -> tuple[float, float]:
    """From the log ratio down and up: the root of the hosts' summed squares (MOVER)."""
    each = [ratio_distances(np.log(a)[None], np.log(b)[None]) for a, b in used]
    down, up = (
        math.hypot(*(weight * float(ends[end][0]) for weight, ends in zip(weights, each, strict=True)))
        for end in (0, 1)
    )
    return down, up


def _label(used: Sequence[Arms]) -> str | None:
    """Over several hosts it covers more than each host's own (docs/statistics.md)."""
    return intervals.label(
        CI95, min(map(len, used[0])) if len(used) == 1 else sum(min(map(len, arms)) for arms in used)
    )
