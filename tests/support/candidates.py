"""Candidates of the choose table, and tails with known steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from analysis.choose.candidate import MEASURED, PREDICTED, PUBLISHED, Candidate, Configuration
from analysis.choose.chooserow import ChooseRow
from analysis.choose.judged import judged
from analysis.choose.limits import Limits
from analysis.choose.worstsession import Tail, tail
from tests.support.frames import GROUP

CONFIGURATION = Configuration("h200", "qwen2.5-7b", 2048, "bf16", "cublas", "graph", "static")


def spread_steps(count: int, slow: int = 0, step_ms: float = 8.0, slow_ms: float = 30.0) -> list[float]:
    """Steps that differ a little, every so often a slow one: independent of each other."""
    steps = [step_ms + (number * 37 % 100) / 1000 for number in range(count)]
    for place in range(slow):
        steps[(place * count) // slow] = slow_ms
    return steps


def tail_of(sessions: int = 3, count: int = 300, slow: int = 0, tokens: int = 1, **steps: float) -> Tail:
    """Sessions of one window each."""
    found = tail([[spread_steps(count, slow, **steps)]] * sessions, tokens)
    assert found is not None
    return found


def measured(tail_: Tail | None, flags: Sequence[str] = (), **changes: Any) -> Candidate:
    step_ms = 8.0 if tail_ is None else tail_.chunk_ms
    group = replace(GROUP, runtime="graph", flags=list(flags), sessions=3, step_wall_ms=step_ms)
    values = {"step_ms": step_ms, "chunk_ms": step_ms, "group": group, "tail": tail_, **changes}
    return Candidate(configuration=CONFIGURATION, basis=MEASURED, source="", **values)


def published(step_ms: float, **changes: Any) -> Candidate:
    values = {"step_ms": step_ms, "chunk_ms": step_ms, **changes}
    return Candidate(configuration=CONFIGURATION, basis=PUBLISHED, source="the paper", **values)


def predicted(low_ms: float, high_ms: float | None, **changes: Any) -> Candidate:
    values = {"step_ms": low_ms + 1, "chunk_ms": low_ms + 1, "low_ms": low_ms, "high_ms": high_ms, **changes}
    return Candidate(configuration=CONFIGURATION, basis=PREDICTED, source="hopper, memory", **values)


def row_of(candidate: Candidate, **limits: Any) -> ChooseRow:
    return judged(candidate, Limits(**limits))
