"""Candidates as rows of the choose table, judged by the limits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from analysis.choose.candidate import Candidate
from analysis.choose.chooserow import ChooseRow
from analysis.choose.limits import Limits
from analysis.choose.ruling import MEETS, Ruling, ruling, span
from analysis.group import Group
from analysis.paper import UNQUANTISED
from analysis.row import GROUP

SPEED_ONLY = "speed only: accuracy not measured"
OF_GROUP = (*("dtype", "attention", "weights_id", "options", "scheme"), *GROUP, "sessions", "prefill_ms")
"""Fields that a measured row has from its group; others have None."""


def judged(candidate: Candidate, limits: Limits) -> ChooseRow:
    """Returns the row of a candidate."""
    found, times = ruling(candidate, limits), span(candidate, limits.tokens)
    unhurried = ruling(candidate, replace(limits, deadline_ms=math.inf))
    group = candidate.group
    return ChooseRow(
        **_ruled(found),
        **vars(candidate.configuration),
        basis=candidate.basis,
        untested=candidate.untested,
        source=candidate.source,
        deadline_ms=limits.deadline_ms,
        tokens=limits.tokens,
        step_wall_ms=candidate.step_ms,
        step_low_ms=candidate.low_ms,
        step_high_ms=candidate.high_ms,
        chunk_ms=candidate.chunk_ms,
        slow_below_ms=times.slow_ms,
        meets_from_ms=times.meets_ms if math.isfinite(times.meets_ms) else None,
        meets_as=times.word,
        barred="" if unhurried.standing == MEETS else unhurried.word,
        barred_standing=unhurried.standing,
        **_tail(candidate, limits),
        tokens_per_s=1000 / candidate.step_ms,
        joules_per_token=candidate.joules_per_token,
        joules_per_token_low=candidate.joules_low,
        joules_per_token_high=candidate.joules_high,
        usd_per_mtok=candidate.usd_per_mtok,
        memory_left_bytes=candidate.memory_left_bytes,
        accuracy="" if candidate.configuration.quant == UNQUANTISED else SPEED_ONLY,
        hosts=None if group is None else len(group.hosts),
        flags=candidate.flags,
        **_grouped(group),
    )


def _grouped(group: Group | None) -> dict[str, Any]:
    return {name: None if group is None else getattr(group, name) for name in OF_GROUP}


def _ruled(found: Ruling) -> dict[str, Any]:
    return {"meets": found.word, "standing": found.standing, "reason": found.reason, "excess": found.excess}


def _tail(candidate: Candidate, limits: Limits) -> dict[str, Any]:
    tail = candidate.tail
    found = None if tail is None else tail.miss(limits.deadline_ms)
    promised = None if tail is None or not tail.is_promise else tail
    return {
        "p99_ms": None if promised is None else promised.p99_ms,
        "miss_bounds": () if promised is None else promised.points,
        "missed": None if found is None else found.missed,
        "chunks": None if found is None else found.chunks,
        "miss_probability": None if found is None else found.probability,
        "miss_upper": None if found is None or promised is None else found.upper,
        "tau": None if found is None else found.tau,
        "n_eff": None if found is None else found.n_eff,
    }
