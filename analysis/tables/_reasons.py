"""Reasons why our value differs from the paper's: the first rule that fits the recorded values of our sessions.

A rule explains a slower step, a faster step, or both. A throttled card never explains a faster step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from analysis.percent import percent
from runner.cell import catalogue
from runner.record.flags import SHARED_CARD, SHARED_HOST

IDLE = 0.6
SLOW_READ = 0.85
FLAGS = {
    "throttled": "the card was throttled",
    SHARED_CARD: "another process was on the card",
    "host-busy": "other processes kept the host busy",
    SHARED_HOST: "another session shared the host",
}
UNKNOWN = "no recorded value explains it"


@dataclass(frozen=True)
class Evidence:
    """Recorded values of a cell's or arm's sessions that may explain a step. `torch` is a version."""

    gpu: str
    runtime: str
    cache: str
    flags: list[str]
    step_wall_ms: float
    step_busy_ms: float | None
    read_gbs: float | None
    torch: str | None


Rule = Callable[[Evidence], str | None]


def likely_reason(cell: Evidence | None, is_slower: bool) -> str:
    """Returns the likely reason why a cell's step is slower, or faster, than the paper's."""
    if cell is None:
        return UNKNOWN
    rules = (*(SLOWER_RULES if is_slower else FASTER_RULES), *COMMON_RULES)
    return next((text for rule in rules if (text := rule(cell)) is not None), UNKNOWN)


def _flagged(cell: Evidence) -> str | None:
    return next((f"{text} (flag {flag})" for flag, text in FLAGS.items() if flag in cell.flags), None)


def _device_idle(cell: Evidence) -> str | None:
    share = _busy_share(cell)
    if share is None or share >= IDLE:
        return None
    return f"kernels run in {percent(share)} of the eager step; the card is idle for the rest"


def _device_busy(cell: Evidence) -> str | None:
    share = _busy_share(cell)
    return None if share is None or share < IDLE else f"kernels run in {percent(share)} of the eager step"


def _busy_share(cell: Evidence) -> float | None:
    """Returns the fraction of an eager step in which kernels run, None if unknown."""
    is_known = cell.runtime == "eager" and cell.step_busy_ms is not None
    return (cell.step_busy_ms or 0.0) / cell.step_wall_ms if is_known else None


def _reads_slowly(cell: Evidence) -> str | None:
    gpu = catalogue.gpus().get(cell.gpu)
    peak = gpu.bandwidth_gbs.value if gpu else None
    if not peak or not cell.read_gbs or cell.read_gbs >= SLOW_READ * peak:
        return None
    return f"this card's memory reads at {percent(cell.read_gbs / peak)} of the datasheet's peak"


def _other_cache(cell: Evidence) -> str | None:
    """Returns a reason for a static cache. It avoids the copies of a growing cache, but attention may read the whole
    allocation."""
    return "a static cache; the paper does not state its own" if cell.cache == "static" else None


def _other_software(cell: Evidence) -> str | None:
    return f"other software: torch {cell.torch} here; the paper states no version" if cell.torch else None


SLOWER_RULES: tuple[Rule, ...] = (_flagged, _device_idle, _reads_slowly)
FASTER_RULES: tuple[Rule, ...] = (_device_busy,)
COMMON_RULES: tuple[Rule, ...] = (_other_cache, _other_software)
