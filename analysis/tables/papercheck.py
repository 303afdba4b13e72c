"""The paper check: every figure of arXiv 2605.30571 that the project quotes, beside our value.

Our value comes from the cell that the paper describes: its protocol, 16-bit dtype, default attention and options. For
R_floor the cell is unquantised and eager, with a growing cache if there is one, else a static one. For the A/B it is
eager against graph, with the newest code. For quantised steps it has the same quant and kernel. `_verdict` defines when
a figure is reproduced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from analysis import ab, groups, paper
from analysis.ab import Measured
from analysis.cellcolumns import CELL
from analysis.form import Column
from analysis.group import Group
from analysis.paper import Place, RangeFigure
from analysis.sources.frame import Frame
from analysis.table import Part, Table
from analysis.tables import _figureorigin, _graphsgain, _ours, graphs
from analysis.tables._ours import Torch
from analysis.tables._verdict import (
    FITS_HERE,
    NOT_MEASURED,
    REPRODUCES,
    CheckRow,
    Ours,
    Spot,
    check,
    counted_verdicts,
    unjudged,
    with_absence,
)
from analysis.tables.graphs import GraphsRow
from runner.ab.manifest import Manifest
from runner.cell import floors, protocol
from runner.cell.cell import Cell
from runner.counts import counted
from runner.plan import fit

METRICS = (
    *("step_wall_ms", "step_busy_ms", "kernels_per_step", "launch_us", "read_gbs"),
    *("peak_bytes", "r_floor_paper"),
)
NEEDED = tuple(dict.fromkeys((*METRICS, *ab.NEEDED)))
HEADLINE = (("h100", "qwen2.5-7b", 2048), ("l4", "qwen2.5-7b", 2048))
UNQUANTISED = "bf16"


def rows(frame: Frame) -> list[CheckRow]:
    """Returns one row per figure: our value, a verdict, and the likely reason for a difference."""
    usual = [group for group in groups.rows(frame, METRICS) if group.valid and _ours.is_usual(group)]
    plain = [group for group in usual if group.quant == UNQUANTISED and group.runtime == "eager"]
    with_figure = replace(frame, manifests=tuple(filter(_has_figure, frame.manifests)))
    comparisons, _ = ab.from_frame(with_figure, bootstrapped=False)
    checks = [
        *_floor_checks(plain, frame.environments),
        *_streamed_checks(plain, frame.environments),
        *_range_checks(plain, frame.environments),
        *_memory_checks(plain),
        *_graph_checks(comparisons, frame.environments),
        *_quantised_checks(usual, frame.environments),
    ]
    gpus = {str(frame.cells[key]["gpu"]) for key in frame.sessions["cell_key"].unique()}
    return [with_absence(row, gpus) for row in checks]


def _has_figure(manifest: Manifest) -> bool:
    """Returns whether the paper has a figure for this A/B."""
    cells = [arm.cell for arm in manifest.arms.values()]
    spots = {figure.spot for figure in paper.graphs_rows()}
    return any((cell.gpu, cell.model, cell.ctx) in spots for cell in cells)


def _spot(place: Place) -> Spot:
    return Spot(*place.spot)


def _floor_checks(plain: Sequence[Group], versions: Torch) -> Iterator[CheckRow]:
    for figure in paper.floor_rows():
        ours = _ours.ratio(_ours.plain_cell(plain, figure.spot), 1.0, versions)
        yield check("r_floor_paper", _spot(figure), figure.r_floor_paper, ours)


def _streamed_checks(plain: Sequence[Group], versions: Torch) -> Iterator[CheckRow]:
    """Yields the headline cells with the bytes that a step must read, without the input embedding that the paper
    counts."""
    for figure in paper.floor_rows():
        if figure.spot in HEADLINE:
            share = paper.streamed_share(figure)
            ours = _ours.ratio(_ours.plain_cell(plain, figure.spot), share, versions)
            quantity = "r_floor (the paper's, in streamed bytes)"
            yield check(quantity, _spot(figure), share * figure.r_floor_paper, ours)


def _range_checks(plain: Sequence[Group], versions: Torch) -> Iterator[CheckRow]:
    """Yields the ranges. A GPU has one only if all of its cells were measured."""
    for figure in paper.range_rows():
        spots = [spot for spot in paper.matrix() if spot[0] == figure.gpu]
        cells = [cell for spot in spots if (cell := _ours.plain_cell(plain, spot)) and cell.r_floor_paper is not None]
        ends = _ours.range_ends(cells, versions) if len(cells) == len(spots) else {}
        for name, value in (("low", figure.low), ("high", figure.high), ("median", figure.median)):
            yield _range_check(f"r_floor_paper, {name} of", value, figure, ends.get(name), len(cells), len(spots))


def _range_check(
    quantity: str, value: float, figure: RangeFigure, ours: Ours | None, measured: int, count: int
) -> CheckRow:
    """Returns the check of one end of a range. The reason says if the paper's range covers fewer cells than ours."""
    row = check(f"{quantity} {figure.cells} cells", Spot(figure.gpu), value, ours)
    if ours is None:
        return replace(row, reason=f"{measured} of {count} cells measured" if measured else None)
    if figure.cells < count:
        scope = f"ours covers {count} cells; the paper's covers only some of them"
        return replace(row, reason="; ".join(filter(None, (scope, row.reason))))
    return row


def _memory_checks(plain: Sequence[Group]) -> Iterator[CheckRow]:
    """Yields the paper's cells that ran out of memory, as measured here or as predicted from bytes."""
    matrix = list(paper.matrix())
    fitting = sum(map(_fits, matrix))
    row = unjudged("cells that fit", Spot(), paper.valid_cells(), None)
    reason = f"{fitting} of {len(matrix)} fit by our accounting, with logits of the last token only"
    yield replace(row, verdict=REPRODUCES if fitting == paper.valid_cells() else FITS_HERE, reason=reason)
    for place in paper.out_of_memory_rows():
        cell = _ours.plain_cell(plain, place.spot)
        peak_gb = None if cell is None or cell.peak_bytes is None else cell.peak_bytes / 1e9
        row = unjudged("peak memory (GB); the paper: out of memory", _spot(place), None, peak_gb)
        fits = "fits by our accounting, with logits of the last token only"
        prediction = fits if _fits(place.spot) else "does not fit"
        yield replace(row, verdict=NOT_MEASURED if cell is None else FITS_HERE, reason=prediction)


def _fits(spot: paper.Spot) -> bool:
    """Returns whether the cell fits, by the prediction that a session makes before it loads anything."""
    gpu, model, ctx = spot
    entry, shape = paper.gpu(gpu), paper.shape(model)
    cell = Cell(gpu, model, ctx, UNQUANTISED, "cublas", "eager", "sdpa", "dynamic", "bf16", "synthetic-v1")
    memory = int((entry.memory_gb.value or 0) * 1e9)
    probe = floors.read_probe_bytes("cuda", int((entry.l2_mib.value or 0) * 2**20), memory)
    return fit.predicted_bytes(cell, shape, None, protocol.NAMED["paper"], "cuda", probe) <= memory


def _graph_checks(compared: Sequence[Measured], versions: Torch) -> Iterator[CheckRow]:
    """Yields each figure of the A/Bs. A ratio is explained by the eager arm, whose slowness increases it."""
    ours = {(row.gpu, row.model, row.ctx): row for row in graphs.rows(compared) if _is_graph_ab(row)}
    for figure in paper.graphs_rows():
        pair = ours.get(figure.spot)
        for value, quantity, our_value in (
            (figure.a_ms, "eager ms/step in the A/B", None if pair is None else _ours.arm_a(pair, versions)),
            (figure.b_ms, "graph ms/step in the A/B", None if pair is None else _ours.arm_b(pair, versions)),
            (figure.ratio, "eager / graph", None if pair is None else _ours.arms_ratio(pair, versions)),
        ):
            if value is not None:
                yield check(quantity, _spot(figure), value, our_value)


def _is_graph_ab(row: GraphsRow) -> bool:
    return row.is_usual and (row.arm_a, row.arm_b) == (_graphsgain.EAGER, _graphsgain.GRAPH)


def _quantised_checks(usual: Sequence[Group], versions: Torch) -> Iterator[CheckRow]:
    """Yields the quantised steps.

    The paper does not state whether its ExLlamaV2 is the kernel in the transformers model or that package's own engine,
    so each has a row.
    """
    for figure in paper.quantised_rows():
        kernel = paper.KERNELS[figure.kernel]
        fitting = [group for group in usual if (group.quant, group.kernel) == (figure.quant, kernel)]
        name = " ".join(filter(None, (figure.quant, figure.kernel)))
        for runtime, suffix in (("eager", ""), *([("exllamav2", ", its own engine")] if kernel == "exllamav2" else ())):
            cell = _ours.plain_cell([group for group in fitting if group.runtime == runtime], figure.spot)
            yield check(f"ms/step, {name}{suffix}", _spot(figure), figure.step_ms, _ours.step(cell, versions))


COLUMNS = (
    Column("figure", "quantity", help="quantity of the paper's figure, with its unit"),
    *(CELL[name] for name in ("gpu", "model", "ctx")),
    Column("paper", "paper", ".4g", help="value in the paper"),
    Column("ours", "ours", ".4g", help="our value; links to the row that it comes from"),
    Column("n", "sessions", "d", optional=True, help="number of sessions that our value is based on"),
    Column("low", "ours_low", ".4g", optional=True, help="lower end of the interval of our value over sessions"),
    Column("high", "ours_high", ".4g", optional=True, help="upper end of the same interval"),
    Column(
        "difference",
        "difference",
        "+.1%",
        optional=True,
        unit="1",
        help="relative difference of our value from the paper's",
    ),
    Column("verdict", "verdict", help="whether our value reproduces the figure"),
    Column("reason", "reason", optional=True, help="likely reason for a difference, or why there is no value"),
)


def sentences(table: Sequence[CheckRow]) -> list[str]:
    """Returns a sentence for each cell for which the paper has two steps."""
    spots = {(row.gpu, row.model, row.ctx) for row in table}
    return paper.two_steps_of({(gpu, model, ctx) for gpu, model, ctx in spots if gpu and model and ctx})


def lines(table: Sequence[CheckRow]) -> list[str]:
    """Returns the number of figures with each verdict, which a report has in its first paragraph, and the sentences."""
    counts = f"{counted(len(table), 'figure')}: {counted_verdicts(table)}"
    return [f"- {text}" for text in (counts, *sentences(table))]


def _intro(table: Sequence[CheckRow]) -> str:
    return (
        f"{counted(len(table), 'figure')} of arXiv 2605.30571 beside our values: {counted_verdicts(table)}. Our values "
        "come from the tables above and link to their rows. The paper's values and their places in the paper are in "
        "`experiments/paper.yaml`."
    )


def _parts(table: Sequence[CheckRow]) -> Iterator[Part]:
    yield Part(
        "paper",
        "Every figure of the paper beside our value",
        table,
        COLUMNS,
        count="paper",
        first=("quantity", "gpu", "model", "ctx", "paper", "ours", "difference", "verdict", "reason"),
        expendable=("reason", "difference"),
        linked=("ours",),
    )


TABLE = Table(
    name="paper",
    order=50,
    title="Figures of arXiv 2605.30571 beside ours",
    help="Every figure of the paper beside our value: reproduced, different (and why) or not measured.",
    heading="Comparison with the paper",
    intro=_intro,
    metrics=NEEDED,
    columns=COLUMNS,
    tells_missing=True,
    rows=lambda reading: rows(reading.frame),
    parts=_parts,
    sentences=sentences,
    lines=lines,
    summary="Cells for which the paper has two steps",
    origin=_figureorigin.anchor,
    has_codes=False,
)
