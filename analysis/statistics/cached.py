"""Comparisons with an on-disk cache. The bootstrap of one comparison takes some 15 ms, and a laboratory may have a
hundred A/Bs."""

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
    """Returns `comparison.compare`, from the cache if the same code has compared the same sessions."""
    entry = cache.entry_path("comparisons", short_hash([_code(), bootstrapped, [asdict(host) for host in hosts]], 24))
    if (cached := _parsed(cache.load_json(entry))) is not None:
        return cached
    compared = comparison.compare(hosts, bootstrapped=bootstrapped)
    cache.keep_json(entry, asdict(compared), AT_MOST)
    return compared


def _parsed(value: Any) -> Comparison | None:
    try:
        bootstrap = value["bootstrap"]
        return Comparison(**{**value, "bootstrap": None if bootstrap is None else tuple(bootstrap)})
    except (TypeError, KeyError):
        return None


@once
def _code() -> str:
    sources = cache.code(Path(str(module.__file__)) for module in (comparison, intervals))
    return short_hash([sources, version("numpy"), version("scipy")], 24)
