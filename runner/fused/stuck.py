"""What a kernel that gave up waiting has left in host memory (waiting.cuh), as one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

WORDS = 8
"""Words of a warp's line in the report."""
PHASES = ("Wq, Wk and Wv", "the cache", "Wo", "Wgate and Wup", "Wdown", "the head")
"""Phases of the tape, in the order of `plan::Phase` (plan.cuh)."""
AWAITED = (
    "a copy of",
    "a free slot for a copy of",
    "the residual stream",
    "queries, keys and values",
    "the parts of attention",
    "attention",
    "activations",
    "choices",
)
"""What warps wait for, in the order of `Awaited` (waiting.cuh)."""
COPY, SLOT, HIDDEN_STATE = range(3)


class Line(NamedTuple):
    """A warp's line: the words that give_up writes."""

    written: int
    awaited: int
    layer: int
    block: int
    warp: int
    expected: int
    """an epoch, or the number of a copy"""
    seen: int
    """an epoch, or the phase of a copy"""
    multiprocessor: int


def place(report: Iterable[Sequence[int]]) -> str | None:
    """Returns what the first of the warps that gave up waited for, and where; None if none did.

    A missing slot delays copies, and a missing copy delays packets: the warp that is nearest to the cause counts.
    """
    lines = [line for words in report if (line := Line(*words)).written]
    if not lines:
        return None
    first = min(lines, key=lambda line: (_rank(line), line.expected))
    where = f"layer {first.layer}, block {first.block}, SM {first.multiprocessor}, warp {first.warp}"
    return f"the fused step waited too long for {_awaited(first)} ({where}: {_expected(first)})"


def _rank(line: Line) -> int:
    return (SLOT, COPY).index(line.awaited) if line.awaited in (SLOT, COPY) else 2


def _awaited(line: Line) -> str:
    name = AWAITED[line.awaited]
    if line.awaited in (COPY, SLOT):
        return f"{name} {PHASES[line.seen]}"
    if line.awaited == HIDDEN_STATE:  # epochs of a layer's second half, which attention awaits, are odd
        return f"{name} before {'attention or the head' if line.expected % 2 else 'the MLP'}"
    return name


def _expected(line: Line) -> str:
    if line.awaited in (COPY, SLOT):
        return f"copy {line.expected}"
    return f"expected epoch {line.expected}, saw {line.seen}"
