"""Reads the report that a kernel leaves in host memory when it gives up waiting (waiting.cuh)."""

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
"""Names of the things that warps wait for, in the order of `Awaited` (waiting.cuh)."""
COPY, SLOT, HIDDEN_STATE, QUERY, PARTS, ATTENTION, ACTIVATIONS, CHOICES = range(8)
COPY_STAGES = (1, 3, 6, 8, 10, 12)
STAGES = {QUERY: 2, PARTS: 4, ATTENTION: 5, ACTIVATIONS: 9, CHOICES: 13}
BEFORE_ATTENTION, BEFORE_MLP, BEFORE_HEAD = 0, 7, 11
"""Places of a layer in the order in which a warp passes them: where it waits for copies of a phase, for packets, and
for the residual stream."""


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


def place(report: Iterable[Sequence[int]], layers: int) -> str | None:
    """Returns what was awaited where the step got stuck, as one line; None if no warp gave up.

    The warp that came least far is the cause: all others wait for it.
    """
    lines = [line for words in report if (line := Line(*words)).written]
    if not lines:
        return None
    first = _cause(lines, layers)
    where = f"layer {first.layer}, block {first.block}, SM {first.multiprocessor}, warp {first.warp}"
    return f"the fused step waited too long for {_awaited(first, layers)} ({where}: {_expected(first)})"


def _cause(lines: Sequence[Line], layers: int) -> Line:
    """Returns the line of the warp that came least far; if it waits for a copy that has no slot, the filler's.

    Fillers run ahead, and wait for slots whenever the warps of their block wait for anything.
    """
    of_slots = [line for line in lines if line.awaited == SLOT]
    others = [line for line in lines if line.awaited != SLOT]
    if not others:
        return min(of_slots, key=lambda line: line.expected)
    first = min(others, key=lambda line: (line.layer, _stage(line, layers), line.expected))
    missing = [line for line in of_slots if line.block == first.block and line.expected <= first.expected]
    return min(missing, key=lambda line: line.expected) if missing and first.awaited == COPY else first


def _stage(line: Line, layers: int) -> int:
    if line.awaited == COPY:
        return COPY_STAGES[line.seen]
    return STAGES[line.awaited] if line.awaited in STAGES else _before(line, layers)


def _before(line: Line, layers: int) -> int:
    """Returns what the residual stream is awaited for. Epochs are 2 · layers · launch + 2 · layer + half."""
    if line.expected % 2 == 0:
        return BEFORE_MLP
    return BEFORE_ATTENTION if (line.expected + 1 - 2 * line.layer) % (2 * layers) == 0 else BEFORE_HEAD


def _awaited(line: Line, layers: int) -> str:
    name = AWAITED[line.awaited]
    if line.awaited in (COPY, SLOT):
        return f"{name} {PHASES[line.seen]}"
    if line.awaited == HIDDEN_STATE:
        words = {BEFORE_ATTENTION: "attention", BEFORE_MLP: "the MLP", BEFORE_HEAD: "the head"}
        return f"{name} before {words[_before(line, layers)]}"
    return name


def _expected(line: Line) -> str:
    if line.awaited in (COPY, SLOT):
        return f"copy {line.expected}"
    return f"expected epoch {line.expected}, saw {line.seen}"
