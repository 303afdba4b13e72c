"""Causes of the difference between an unquantised step and the paper's, as far as the records show them.

The paper states a step P and nothing of what it consists of. Its kernels ran for P at most, and for at least the time F
to read the bytes at the bandwidth of the datasheet; in the rest, P - F at most, none ran. So if ours is slower, kernels
that run for K are to blame for at least K - P, and what takes O while none runs for at least O - (P - F). A cause is
named if that is at least half of the difference (`MOST`).
"""

from __future__ import annotations

from analysis import paper
from analysis.group import Group
from analysis.tables import _clocks, _remedies
from analysis.tables._claimrow import FEWEST
from analysis.tables._differencerow import SplitRow
from analysis.tables._graphsgain import EAGER, GRAPH
from analysis.tables._trace import Traces
from runner.cell import catalogue

HOST, SOFTWARE, KERNELS, HOST_OR_SOFTWARE, NOT_TOLD = (
    "host",
    "software",
    "card or kernels",
    "host or software",
    "cannot be told",
)
MOST = 0.5
"""Least share of a difference that a cause must have, whatever the paper's step consists of."""


def split(group: Group, traces: Traces) -> SplitRow:
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
        attention_backend=group.attention_backend,
        sessions=group.sessions,
        hosts=len(group.hosts),
        step_wall_ms=group.wall_ms,
        step_wall_ms_low=group.step_wall_ms_low,
        step_wall_ms_high=group.step_wall_ms_high,
        step_wall_ms_least=group.step_wall_ms_least,
        step_wall_ms_most=group.step_wall_ms_most,
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
        origins=traces.of_group(group),
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
    low, high = ends(row)
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
        f"{row.outside_ms:.2f} ms{_software(row)}; the paper states none of these, nor its versions"
    )


def _software(row: SplitRow) -> str:
    """Returns the software of a step as records show it: the number of its kernels, and the backend of attention."""
    kernels = None if row.kernels_per_step is None else f"{row.kernels_per_step:.0f} kernels a step"
    attention = None if row.attention_backend is None else f"attention by {row.attention_backend}"
    return "".join(f", {text}" for text in (kernels, attention) if text)


def _slower(row: SplitRow, kernels_ms: float, paper_ms: float, group: Group) -> tuple[str, str]:
    excess_ms = row.step_wall_ms - paper_ms
    slower, needed_ms = f"ours is {excess_ms:.2f} ms slower", MOST * excess_ms
    if kernels_ms - paper_ms >= needed_ms:
        whole = f"kernels alone run for {kernels_ms:.2f} ms, the paper's whole step takes {paper_ms:.2f} ms"
        return KERNELS, f"{slower}: {whole}"
    if group.floor_ms is None:
        return NOT_TOLD, f"{slower}: without the card's bandwidth it is not known how long the paper's kernels ran"
    outside_ms, idle_ms = row.step_wall_ms - kernels_ms, paper_ms - group.floor_ms
    least_ms = max(outside_ms - idle_ms, 0.0)
    both = (
        f"no kernel runs for {outside_ms:.2f} ms here, and for {idle_ms:.2f} ms at most in the paper's step, which "
        f"must read for {group.floor_ms:.2f} of its {paper_ms:.2f} ms"
    )
    outside = f"{slower}, at least {least_ms:.2f} ms of it outside of kernels: {both}"
    if least_ms < needed_ms:
        return NOT_TOLD, f"{outside}; that is less than half"
    if row.host_ms is None:
        software = _software(row).removeprefix(", ")
        unstated = f"; ours has {software}, which the paper does not state" if software else ""
        return HOST_OR_SOFTWARE, f"{outside}; the passes do not split it: {_remedies.why_not(group)}{unstated}"
    if row.host_ms - idle_ms >= needed_ms:
        return HOST, f"{outside}; launches and reading the token back take {row.host_ms:.2f} ms"
    new_length_ms = row.new_length_ms or 0.0
    if new_length_ms - idle_ms >= needed_ms:
        return SOFTWARE, f"{outside}; a context length new to the process takes {new_length_ms:.2f} ms"
    return HOST_OR_SOFTWARE, f"{outside}; neither host nor new lengths alone must make half of the difference"


def ends(row: SplitRow) -> tuple[float, float]:
    """Returns the ends of the step's interval; the step itself without one."""
    low, high = row.step_wall_ms_low, row.step_wall_ms_high
    return row.step_wall_ms if low is None else low, row.step_wall_ms if high is None else high
