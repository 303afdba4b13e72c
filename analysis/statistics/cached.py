"""Comparisons that were computed before: the bootstrap of one takes some 15 ms, and a lab has a hundred A/Bs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache as once
from importlib.metadata import version
from pathlib import Path
from typing import Any

from analysis import cache
from analysis.statistics import comparison, intervals
from analysis.statistics.comparison import Comparison, HostSessions
from runner.cell.cell import short_hash

AT_MOST = 5000


def compare(hosts: Sequence[HostSessions], bootstrapped: bool = True) -> Comparison:
    """`comparison.compare`, from disk where the same sessions were compared by the same code."""
    entry = cache.place("comparisons", short_hash([_code(), bootstrapped, [asdict(host) for host in hosts]], 24))
    if (found := _parsed(cache.load_json(entry))) is not None:
        return found
    made = comparison.compare(hosts, bootstrapped=bootstrapped)
    cache.keep_json(entry, asdict(made), AT_MOST)
    return made


def _parsed(found: Any) -> Comparison | None:
    try:
        low_high = found["bootstrap"]
        return Comparison(**{**found, "bootstrap": None if low_high is None else tuple(low_high)})
    except (TypeError, KeyError):
        return None


@once
def _code() -> str:
    sources = cache.code(Path(str(module.__file__)) for module in (comparison, intervals))
    return short_hash([sources, version("numpy"), version("scipy")], 24)
