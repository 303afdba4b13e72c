"""Why a figure of ours differs from the paper's: the first rule that fits what our sessions recorded.

A rule explains a step that is slower than the paper's, one that is faster, or both; a throttled card makes no step
faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runner.cell import catalogue
from runner.record.flags import SHARED_CARD, SHARED_HOST

Row = dict[str, Any]
Rule = Callable[[Row], str | None]

IDLE = 0.6
SLOW_READ = 0.85
FLAGS = {
    "throttled": "the card was throttled",
    SHARED_CARD: "another process was on the card",
    "host-busy": "other processes kept the host busy",
    SHARED_HOST: "another session shared the host",
}
UNKNOWN = "no recorded value tells"


def likely(cell: Row | None, is_slower: bool) -> str:
    """Of the cell that our figure is of, whose step is slower or faster than the paper's. `cell` has runtime, cache,
    gpu, flags, step_wall_ms, step_busy_ms, read_gbs and torch."""
    if cell is None:
        return UNKNOWN
    rules = (*(OF_A_SLOWER if is_slower else OF_A_FASTER), *OF_EITHER)
    return next((text for rule in rules if (text := rule(cell)) is not None), UNKNOWN)


def _flagged(cell: Row) -> str | None:
    return next((f"{text} (flag {flag})" for flag, text in FLAGS.items() if flag in cell["flags"]), None)


def _device_idle(cell: Row) -> str | None:
    share = _busy_share(cell)
    if share is None or share >= IDLE:
        return None
    return f"kernels run in {share:.0%} of the eager step, and the card is idle in the rest"


def _device_busy(cell: Row) -> str | None:
    share = _busy_share(cell)
    return None if share is None or share < IDLE else f"kernels run in {share:.0%} of the eager step"


def _busy_share(cell: Row) -> float | None:
    """Returns the share of an eager step in which kernels run; None where it is not known."""
    busy, step = cell["step_busy_ms"], cell["step_wall_ms"]
    return None if cell["runtime"] != "eager" or busy is None else float(busy / step)


def _reads_slowly(cell: Row) -> str | None:
    known = catalogue.gpus().get(cell["gpu"])
    peak = known.bandwidth_gbs.value if known else None
    if not peak or not cell["read_gbs"] or cell["read_gbs"] >= SLOW_READ * peak:
        return None
    return f"this card's memory reads at {cell['read_gbs'] / peak:.0%} of the datasheet's peak"


def _other_cache(cell: Row) -> str | None:
    """It saves the copies of a growing one, and its attention may read the whole allocation: either way."""
    return "a static cache; the paper does not tell its own" if cell["cache"] == "static" else None


def _other_software(cell: Row) -> str | None:
    return f"other software: torch {cell['torch']} here, the paper tells no version" if cell.get("torch") else None


OF_A_SLOWER: tuple[Rule, ...] = (_flagged, _device_idle, _reads_slowly)
OF_A_FASTER: tuple[Rule, ...] = (_device_busy,)
OF_EITHER: tuple[Rule, ...] = (_other_cache, _other_software)
