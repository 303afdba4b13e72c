"""Candidates that were measured: the groups of a frame, with the tail of their sessions' steps."""

from __future__ import annotations

from collections.abc import Iterable

from analysis import groups
from analysis import prices as pricing
from analysis.choose import memory
from analysis.choose.candidate import MEASURED, Candidate, Configuration
from analysis.choose.scope import Scope
from analysis.choose.worstsession import Tail, tail
from analysis.group import Group
from analysis.prices import Prices
from analysis.reading import Reading
from runner.counts import listed

METRICS = ("step_wall_ms", "prefill_ms", "peak_bytes", "joules_per_token")
NEWEST = 20
"""Most sessions of a group whose steps are read, the newest."""


def candidates(reading: Reading, scope: Scope, tokens: int, prices: Prices) -> list[Candidate]:
    """Returns the valid groups in the scope."""
    found = [group for group in groups.rows(reading.frame, METRICS, reading.every_code) if group.valid]
    inside = [group for group in found if scope.has(group.gpu, group.model, group.ctx)]
    sessions = groups.counted_sessions(reading.frame)
    chosen = {group.key: sessions[group.key][-NEWEST:] for group in inside}
    details = reading.source.details([session for ids in chosen.values() for session in ids])
    windows = {key: [details[session].windows_ms for session in ids] for key, ids in chosen.items()}
    return [
        _candidate(group, _with_energy(group, inside), tail(windows[group.key], tokens), tokens, prices)
        for group in inside
    ]


def _with_energy(group: Group, others: Iterable[Group]) -> Group:
    """Returns the group whose energy is the group's: itself if it has some, else the one with most sessions of another
    protocol, as energy has a pass of its own. Itself if there is none."""
    alike = [
        other
        for other in others
        if other.joules_per_token is not None
        and (other.cell_key, other.code_key, other.env_key) == (group.cell_key, group.code_key, group.env_key)
    ]
    return group if group in alike else max(alike, key=lambda other: other.sessions, default=group)


def _source(energy: Group, group: Group) -> str:
    """Returns what the energy of another protocol comes from, with the flags that the row does not have."""
    more = [flag for flag in energy.flags if flag not in group.flags]
    flagged = f", where it is flagged {listed(more, 'and')}" if more else ""
    return f"J/token as measured with {energy.protocol}{flagged}"


def _candidate(group: Group, energy: Group, tail_: Tail | None, tokens: int, prices: Prices) -> Candidate:
    return Candidate(
        configuration=Configuration(
            group.gpu, group.model, group.ctx, group.quant, group.kernel, group.runtime, group.cache
        ),
        basis=MEASURED,
        source="" if energy is group else _source(energy, group),
        step_ms=group.wall_ms,
        chunk_ms=tokens * group.wall_ms if tail_ is None else tail_.chunk_ms,
        group=group,
        tail=tail_,
        joules_per_token=energy.joules_per_token,
        joules_low=energy.joules_per_token_low,
        joules_high=energy.joules_per_token_high,
        joules_most=energy.joules_per_token_most,
        usd_per_mtok=pricing.usd_per_mtok(group.gpu, group.wall_ms, prices),
        memory_left_bytes=memory.left_bytes(group.gpu, group.peak_bytes),
    )
