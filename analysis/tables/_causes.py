"""Causes of the difference between an unquantised step and the paper's, as far as the records show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis import paper
from analysis.group import Group
from analysis.tables import _clocks, _remedies
from analysis.tables._claimrow import FEWEST
from analysis.tables._differencerow import ContrastRow, SplitRow
from analysis.tables._graphsgain import EAGER, GRAPH
from runner.cell import catalogue

HOST, SOFTWARE, KERNELS, HOST_OR_SOFTWARE, NOT_TOLD = (
    "host",
    "software",
    "card or kernels",
    "host or software, not the card",
    "cannot be told",
)
PARTS = {"gpu": "card, and its host", "cache": "software", "options": "software", "runtime": "launches"}
"""The part of a step that a contrast in one field changes."""
FIELDS = ("gpu", "model", "ctx", "runtime", "cache", "options")


def split(group: Group) -> SplitRow:
    """Returns the split of a group's step, with the cause of its difference from the paper's."""
    terms = {term.name: term.ms for term in _clocks.terms_of(group)}
    is_eager = group.runtime == EAGER
    is_open = not _clocks.is_attributed(group)
    host = (_clocks.HOST, *((_clocks.GAPS,) if is_eager else ()))
    paper_ms, source = paper_step(group)
    row = SplitRow(
        gpu=group.gpu,
        model=group.model,
        ctx=group.ctx,
        runtime=group.runtime,
        cache=group.cache,
        options=group.options,
        sessions=group.sessions,
        hosts=len(group.hosts),
        step_wall_ms=group.wall_ms,
        step_wall_ms_low=group.step_wall_ms_low,
        step_wall_ms_high=group.step_wall_ms_high,
        paper_ms=paper_ms,
        paper_source=source,
        reading_ms=group.floor_achievable_ms,
        kernels_ms=group.step_busy_ms,
        outside_ms=None if group.step_busy_ms is None else group.wall_ms - group.step_busy_ms,
        host_ms=None if is_open else sum(terms.get(name, 0.0) for name in host),
        new_length_ms=None if is_open else terms.get(_clocks.NEW_LENGTH),
        open_ms=terms.get(_clocks.NOT_ATTRIBUTED),
        kernels_per_step=group.kernels_per_step,
        launch_us=group.launch_us,
        read_share=_read_share(group),
        flags=group.flags,
        cause=None,
        reason=None,
    )
    cause, reason = (None, None) if paper_ms is None else _cause(row, paper_ms, group)
    return SplitRow(**{**vars(row), "cause": cause, "reason": reason})


def paper_step(group: Group) -> tuple[float | None, str | None]:
    """Returns the paper's unquantised step of a place and runtime in ms, and its source."""
    spot = (group.gpu, group.model, group.ctx)
    pair = paper.graphs_row(*spot)
    arms = {} if pair is None else {EAGER: pair.a_ms, GRAPH: pair.b_ms}
    if (arm_ms := arms.get(group.runtime)) is not None:
        return arm_ms, "A/B"
    figures = [figure for figure in paper.floor_rows() if figure.spot == spot and group.runtime == EAGER]
    return (paper.implied_ms(figures[0]), "R_floor") if figures else (None, None)


def _read_share(group: Group) -> float | None:
    gpu = catalogue.gpus().get(group.gpu)
    peak = gpu.bandwidth_gbs.value if gpu else None
    return group.read_gbs / peak if group.read_gbs and peak else None


def _cause(row: SplitRow, paper_ms: float, group: Group) -> tuple[str, str]:
    """Returns the cause of a difference that the records show, and the numbers that show it."""
    low, high = _ends(row)
    if row.sessions < FEWEST:
        return NOT_TOLD, f"{row.sessions} of at least {FEWEST} sessions"
    if low <= paper_ms <= high:
        return NOT_TOLD, f"the sessions, {low:.2f} to {high:.2f} ms, include the paper's {paper_ms:.2f} ms"
    if row.kernels_ms is None:
        return NOT_TOLD, "the time in which kernels run was not measured"
    if row.step_wall_ms < paper_ms:
        return NOT_TOLD, _faster(row, paper_ms)
    return _slower(row, row.kernels_ms, paper_ms, group)


def _faster(row: SplitRow, paper_ms: float) -> str:
    """Returns what the records show of a step that is faster than the paper's, which states nothing to compare."""
    return (
        f"ours is {paper_ms - row.step_wall_ms:.2f} ms faster: kernels run for {row.kernels_ms:.2f} ms, no kernel for "
        f"{row.outside_ms:.2f} ms; the paper states neither, nor its kernels per step, attention or versions"
    )


def _slower(row: SplitRow, kernels_ms: float, paper_ms: float, group: Group) -> tuple[str, str]:
    excess_ms = row.step_wall_ms - paper_ms
    if kernels_ms >= paper_ms:
        return KERNELS, f"kernels alone run for {kernels_ms:.2f} ms, the paper's whole step takes {paper_ms:.2f} ms"
    outside = (
        f"ours is {excess_ms:.2f} ms slower, but kernels run for {kernels_ms:.2f} ms only, less than the paper's whole "
        f"step of {paper_ms:.2f} ms; no kernel runs for {row.outside_ms:.2f} ms"
    )
    if row.host_ms is None:
        return HOST_OR_SOFTWARE, f"{outside}, which the passes do not split: {_remedies.why_not(group)}"
    if row.host_ms >= excess_ms:
        return HOST, f"{outside}, {row.host_ms:.2f} ms of it for launches and reading the token back"
    if (row.new_length_ms or 0.0) >= excess_ms:
        return SOFTWARE, f"{outside}, {row.new_length_ms:.2f} ms of it for a context length new to the process"
    return HOST_OR_SOFTWARE, f"{outside}, of which neither host nor new lengths alone make the difference"


@dataclass(frozen=True)
class _Pair:
    first: SplitRow
    second: SplitRow
    field: str


def contrasts(rows: Sequence[SplitRow]) -> list[ContrastRow]:
    """Returns the rows that differ in exactly one of the fields that have a part."""
    return [_contrast(pair) for pair in _pairs(rows)]


def _pairs(rows: Sequence[SplitRow]) -> Iterator[_Pair]:
    for number, first in enumerate(rows):
        for second in rows[number + 1 :]:
            different = [name for name in FIELDS if first.value(name) != second.value(name)]
            if len(different) == 1 and different[0] in PARTS:
                yield _Pair(first, second, different[0])


def _contrast(pair: _Pair) -> ContrastRow:
    first, second, field = pair.first, pair.second, pair.field

    def change(name: str) -> float | None:
        old, new = getattr(first, name), getattr(second, name)
        return None if old is None or new is None else new - old

    return ContrastRow(
        gpu=first.gpu,
        model=first.model,
        ctx=first.ctx,
        runtime=first.runtime,
        cache=first.cache,
        field=field,
        first=str(first.value(field)) or "default",
        second=str(second.value(field)) or "default",
        part=PARTS[field],
        sessions=min(first.sessions, second.sessions),
        flags=sorted({*first.flags, *second.flags}),
        step_first_ms=first.step_wall_ms,
        step_second_ms=second.step_wall_ms,
        step_ms=second.step_wall_ms - first.step_wall_ms,
        kernels_ms=change("kernels_ms"),
        reading_ms=change("reading_ms"),
        outside_ms=change("outside_ms"),
        kernels_per_step=change("kernels_per_step"),
        decided="yes" if _are_apart(first, second) else "undecided",
    )


def _are_apart(first: SplitRow, second: SplitRow) -> bool:
    (first_low, first_high), (second_low, second_high) = _ends(first), _ends(second)
    return min(first.sessions, second.sessions) >= FEWEST and (first_high < second_low or second_high < first_low)


def _ends(row: SplitRow) -> tuple[float, float]:
    return row.step_wall_ms_low or row.step_wall_ms, row.step_wall_ms_high or row.step_wall_ms
