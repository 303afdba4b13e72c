"""Tests of the claims of the paper's abstract, on the cards that records of this project come from.

A rule yields one row for each place where its claim can be tested, measured or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis import groups, paper
from analysis.group import Group
from analysis.prediction.fitting import HOST_PACED
from analysis.sources.frame import Frame
from analysis.tables import _baselines, _graphsgain, _ours
from analysis.tables._baselines import Walls
from analysis.tables._claimquantity import Values, of_gain, of_group, of_savings, over, session_values
from analysis.tables._claimrow import EvidenceRow, Limit, Need, Place, evidence
from analysis.tables._graphsgain import EAGER, GRAPH, Gain
from analysis.tables._quantpaper import paper_rows
from analysis.tables._quantrows import PaperRow
from analysis.tables._trace import Traces
from analysis.tables.graphs import GraphsRow

CARDS = ("h100", "h200")
"""Cards of the claims, in the order of bandwidth. The paper's are the H100 and three slower ones."""
SLOW_CARD = "l4"
"""The card on which the paper finds the smallest gain of CUDA Graphs."""
HALF = 0.5
"""Part of a step, of its kernels' time, or of the saving that the bytes allow, above which it counts as most."""
AB_SETTING = "A/B of eager against graph, static cache"
PACED = "the host paces the unquantised step"
OF_ONE_HOST = " beside the unquantised cell on one host"


@dataclass(frozen=True)
class Material:
    """The input of the rules: usual groups (see `_ours.is_usual`), sessions by host, A/Bs of eager against graph."""

    plain: Sequence[Group]
    packed: Sequence[Group]
    walls: Walls
    reading_of_step: Values
    """time to read the bytes, at the measured bandwidth of the device, over the step"""
    reading_of_kernels: Values
    """the same time over the busy time of kernels"""
    r_floor: Values
    gains: Mapping[paper.Spot, Gain]
    traces: Traces


def material(frame: Frame, table: Sequence[GraphsRow], metrics: Sequence[str], traces: Traces) -> Material:
    """Returns what the rules read, from the sessions of a frame and its A/Bs between runtimes."""
    usual = [group for group in groups.rows(frame, metrics) if group.valid and _ours.is_usual(group)]
    return Material(
        plain=[group for group in usual if _baselines.is_plain(group)],
        packed=[group for group in usual if not _baselines.is_plain(group)],
        walls=groups.walls_of_hosts(frame),
        reading_of_step=session_values(frame, "floor_achievable_ms", "step_wall_ms"),
        reading_of_kernels=session_values(frame, "floor_achievable_ms", "step_busy_ms"),
        r_floor=session_values(frame, "floor_ms", "step_wall_ms"),
        gains=graph_gains(table),
        traces=traces,
    )


def graph_gains(table: Sequence[GraphsRow]) -> dict[paper.Spot, Gain]:
    """Returns the A/Bs of eager against graph in the paper's kind of cell, by place; the newest of each."""
    newest = sorted(table, key=lambda row: row.last_start_ms)
    gains = [_graphsgain.gain(row) for row in newest if row.is_usual]
    return {(gain.row.gpu, gain.row.model, gain.row.ctx): gain for gain in gains if gain is not None}


Rule = Callable[[str, Material], Iterator[EvidenceRow]]


def _places() -> list[tuple[str, int]]:
    """Returns (model, ctx) of the paper's cells."""
    return list(dict.fromkeys((model, ctx) for _, model, ctx in paper.matrix()))


def _cells(plain: Sequence[Group], gpu: str, model: str, ctx: int, runtime: str) -> dict[str, Group]:
    """Returns the newest cell of a place by cache, the growing cache first."""
    found = [
        group for group in plain if (group.gpu, group.model, group.ctx, group.runtime) == (gpu, model, ctx, runtime)
    ]
    newest = {group.cache: group for group in sorted(found, key=lambda group: group.last_start_ms)}
    return dict(sorted(newest.items()))


def memory(claim: str, found: Material) -> Iterator[EvidenceRow]:
    """Yields whether reading the bytes takes most of an eager step, and most of the time of its kernels."""
    figures = {figure.spot: f"{figure.r_floor_paper:.3f}" for figure in paper.floor_rows()}
    for gpu in CARDS:
        for model, ctx in _places():
            cell = next(iter(_cells(found.plain, gpu, model, ctx, EAGER).values()), None)
            setting = EAGER if cell is None else _setting(cell)
            missing = [Need(gpu, model, ctx, EAGER)] if cell is None else []
            for test, values, value in (
                ("reading / step", found.reading_of_step, figures.get((gpu, model, ctx))),
                ("reading / kernels", found.reading_of_kernels, None),
            ):
                place = Place(test, gpu, model, ctx, setting, value)
                yield evidence(claim, place, Limit(HALF, True), of_group(cell, values, found.traces), missing)


def _setting(cell: Group) -> str:
    return f"{cell.runtime}, {cell.cache} cache"


def bandwidth(claim: str, found: Material) -> Iterator[EvidenceRow]:
    """Yields whether the fraction of the floor is smaller on the faster card, for the same cell on both."""
    slow, fast = CARDS
    medians = {row.gpu: row.median for row in paper.range_rows()}
    said = ", ".join(f"{gpu} {value:.3f}" for gpu, value in sorted(medians.items(), key=lambda item: -item[1]))
    for runtime in (EAGER, GRAPH):
        for model, ctx in _places():
            slower, faster = (_cells(found.plain, gpu, model, ctx, runtime) for gpu in (slow, fast))
            cache = next((name for name in slower if name in faster), None)
            pair = () if cache is None else (faster[cache], slower[cache])
            quantity = over(*(of_group(cell, found.r_floor, found.traces) for cell in pair)) if pair else None
            setting = runtime if cache is None else _setting(faster[cache])
            place = Place(f"r_floor of {fast} / {slow}", fast, model, ctx, setting, said if runtime == EAGER else None)
            needs = [] if cache else list(_cell_needs({slow: slower, fast: faster}, model, ctx, runtime))
            yield evidence(claim, place, Limit(1.0, False), quantity, needs)


def _cell_needs(cells: Mapping[str, Mapping[str, Group]], model: str, ctx: int, runtime: str) -> Iterator[Need]:
    """Yields what is missing for a pair of cells with the same cache."""
    caches = sorted({cache for of_gpu in cells.values() for cache in of_gpu})
    for gpu, of_gpu in cells.items():
        if not of_gpu:
            yield Need(gpu, model, ctx, f"{runtime}, {caches[0]} cache" if caches else runtime)
    if all(cells.values()):
        first, second = cells
        yield Need(first, model, ctx, f"{runtime}, {next(iter(cells[second]))} cache")


def graphs(claim: str, found: Material) -> Iterator[EvidenceRow]:
    """Yields whether the graph is faster than eager in the A/Bs of each card, and whether its gain is larger on the
    H100 than on the slow card."""
    figures = {figure.spot: figure for figure in paper.graphs_rows()}
    first, *_ = figures
    asked = [(gpu, *first[1:]) for gpu in CARDS]
    for spot in dict.fromkeys([*asked, *(spot for spot in found.gains if spot[0] in CARDS)]):
        said = f"{figures[spot].ratio:.3f}×" if spot in figures else None
        missing = [] if spot in found.gains else [Need(*spot, AB_SETTING)]
        place = Place("eager / graph", *spot, AB_SETTING, said)
        yield evidence(claim, place, Limit(1.0, True), of_gain(found.gains.get(spot), found.traces), missing)
    slow = (SLOW_CARD, *first[1:])
    quantity = over(*(of_gain(found.gains.get(spot), found.traces) for spot in (first, slow)))
    place = Place(
        f"gain of {first[0]} / gain of {SLOW_CARD}",
        *first,
        AB_SETTING,
        f"{figures[first].ratio:.3f}× / {figures[slow].ratio:.3f}×",
    )
    missing = [Need(*spot, AB_SETTING) for spot in (first, slow) if spot not in found.gains]
    yield evidence(claim, place, Limit(1.0, True), quantity, missing)


def quantisation(claim: str, found: Material) -> Iterator[EvidenceRow]:
    """Yields whether each of the paper's formats realises at least half of the saving that its bytes allow, or less, as
    in the paper. The baseline is the unquantised cell of the same runtime and host. If the host sets the pace of its
    steps, no kernel could realise the saving, and the test is undecided."""
    _, *rows = paper_rows()
    for gpu in CARDS:
        for runtime in (EAGER, GRAPH):
            for row in rows:
                cells = [group for group in found.packed if _is_packed_as(group, row, gpu, runtime)]
                for ctx in sorted({row.ctx, *(group.ctx for group in cells)}):
                    yield _saving_row(claim, found, row, gpu, runtime, ctx)


def _is_packed_as(group: Group, row: PaperRow, gpu: str, runtime: str) -> bool:
    wanted = (gpu, row.model, row.quant, paper.KERNELS[row.kernel], runtime)
    return tuple(getattr(group, name) for name in ("gpu", "model", "quant", "kernel", "runtime")) == wanted


def _saving_row(claim: str, found: Material, row: PaperRow, gpu: str, runtime: str, ctx: int) -> EvidenceRow:
    assert row.realised is not None
    assert row.ideal is not None
    fitting = [group for group in found.packed if group.ctx == ctx and _is_packed_as(group, row, gpu, runtime)]
    cell = max(fitting, key=lambda group: group.last_start_ms, default=None)
    plain = [group for group in found.plain if cell is not None and group.cache == cell.cache]
    baseline = None if cell is None else _baselines.fastest(cell, plain, found.walls, runtime)
    setting = f"{row.quant} {paper.KERNELS[row.kernel]}, {runtime}"
    is_paced = baseline is not None and _is_paced_by_host(baseline.group)
    share = row.realised / row.ideal
    said = f"{share:.2f} ({row.realised:.2f}× of {row.ideal:.2f}×, {row.gpu})" if ctx == row.ctx else None
    place = Place("saving / saving in bytes", gpu, row.model, ctx, setting, said)
    quantity = of_savings(cell, baseline, found.traces)
    missing = [] if quantity else [Need(gpu, row.model, ctx, setting + ("" if cell is None else OF_ONE_HOST))]
    return evidence(claim, place, Limit(HALF, share > HALF), quantity, missing, PACED if is_paced else "")


def _is_paced_by_host(group: Group) -> bool:
    return group.step_busy_ms is not None and group.wall_ms > HOST_PACED * group.step_busy_ms


RULES: Mapping[str, tuple[Rule, str]] = {
    "memory": (
        memory,
        "the time to read the bytes is more than half of an eager step, and more than half of its kernels' time",
    ),
    "bandwidth": (bandwidth, "the same cell has a smaller r_floor on the H200 than on the H100"),
    "graphs": (graphs, "an A/B's graph is faster than eager on each card, and gains more on the H100 than on the L4"),
    "quantisation": (
        quantisation,
        "a format realises more or less than half of the saving in bytes, whichever it does in the paper; undecided if "
        "the host sets the pace of the unquantised step",
    ),
}
"""The rule of each claim by its name, and what it tests in words."""
