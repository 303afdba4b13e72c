"""The paper's main figure: the achieved fraction of the floor against the memory bandwidth, ours beside the paper's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from analysis import paper, protocoltitles
from analysis.figures import labels, style
from analysis.figures.style import Drawn
from analysis.tables._floorrow import FloorRow
from runner.cell import catalogue

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GPUS, SERIES, POINTS = 7, 5, 40
WIDEST_SLOT, FILLED = 0.2, 0.8
PAPERS = "the paper"
TITLE = "Achieved fraction of the floor against memory bandwidth"


@dataclass(frozen=True)
class Fractions:
    """The fractions of a series on a GPU in ascending order, with their range and median."""

    values: Sequence[float]
    low: float
    median: float
    high: float


Series = Mapping[str, Fractions]
"""Fractions by GPU."""


@style.applied()
def draw(table: Sequence[FloorRow]) -> Drawn | None:
    """Returns the valid unquantised rows beside the paper's points, with a range and a median for each GPU.

    A GPU has a column, in the order of the bandwidths, and each series a slot in it. Returns None if no row has a
    datasheet bandwidth.
    """
    rows = protocoltitles.comparable([row for row in table if _is_shown(row)])
    if not rows:
        return None
    series = _series(rows)
    order = sorted(series, key=lambda name: (-sum(len(each.values) for each in series[name].values()), name))[:SERIES]
    peaks = _peaks(rows)
    gpus = style.spread(sorted(peaks, key=lambda gpu: (peaks[gpu], gpu)), GPUS)
    figure = style.canvas(3.6)
    axes = figure.subplots()
    _draw_series(axes, slots(gpus, {PAPERS: _paper(), **{name: series[name] for name in sorted(order)}}))
    _finish(axes, gpus, peaks)
    handles, found = axes.get_legend_handles_labels()
    names = [str(name) for name in found]
    figure.legend(handles, names, loc="outside upper left", ncols=style.columns(names))
    most = max(len(each.values) for by_gpu in series.values() for each in by_gpu.values())
    caption = _caption(len(rows), most, len(order), len(series), len(gpus), len(peaks))
    return Drawn("floor-bandwidth", TITLE, caption, figure)


def _is_shown(row: FloorRow) -> bool:
    return row.valid and row.quant == labels.UNQUANTISED and row.r_floor_paper is not None and _peak(row) is not None


def _peak(row: FloorRow) -> float | None:
    gpu = catalogue.gpus().get(row.gpu)
    return gpu.bandwidth_gbs.value if gpu else None


def _peaks(rows: Sequence[FloorRow]) -> dict[str, float]:
    peaks = {figure.gpu: figure.bandwidth_gbs for figure in paper.floor_rows()}
    return peaks | {row.gpu: peak for row in rows if (peak := _peak(row)) is not None}


def _series(rows: Sequence[FloorRow]) -> dict[str, Series]:
    """Returns our fractions by runtime and cache."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[f"{row.runtime}, {row.cache}"][row.gpu].append(row.r_floor_paper or 0.0)
    return {name: {gpu: _fractions(values) for gpu, values in by_gpu.items()} for name, by_gpu in found.items()}


def _fractions(values: Sequence[float]) -> Fractions:
    return Fractions(sorted(values), min(values), median(values), max(values))


def _paper() -> Series:
    """Returns the fractions that the paper states, with its own ranges, which are over more cells."""
    found: dict[str, list[float]] = defaultdict(list)
    for figure in paper.floor_rows():
        found[figure.gpu].append(figure.r_floor_paper)
    return {row.gpu: Fractions(sorted(found[row.gpu]), row.low, row.median, row.high) for row in paper.range_rows()}


def slots(gpus: Sequence[str], series: Mapping[str, Series]) -> dict[str, dict[float, Fractions]]:
    """Returns the fractions of each series by their horizontal position.

    Column n is centred on n. Its series share it evenly, in their order, so that no two have the same position.
    """
    placed: dict[str, dict[float, Fractions]] = {name: {} for name in series}
    for column, gpu in enumerate(gpus):
        names = [name for name in series if gpu in series[name]]
        width = slot_width(len(names))
        for slot, name in enumerate(names):
            placed[name][column + (slot - (len(names) - 1) / 2) * width] = series[name][gpu]
    return placed


def slot_width(series: int) -> float:
    """Returns the distance of the series of a column, which is 1 wide."""
    return min(WIDEST_SLOT, FILLED / max(series, 1))


def _draw_series(axes: Axes, placed: Mapping[str, Mapping[float, Fractions]]) -> None:
    """Draws the points beside each other, and behind them a line from lowest to highest with the median."""
    half = 0.25 * slot_width(SERIES + 1)
    for number, (name, columns) in enumerate(placed.items()):
        colour, marker = (style.PAPER, style.PAPER_MARKER) if name == PAPERS else style.look(number - 1)
        for x, found in columns.items():
            axes.plot([x, x], [found.low, found.high], color=colour, linewidth=0.8, alpha=0.6, zorder=1)
            ends = [x - 2 * half, x + 2 * half]
            axes.plot(ends, [found.median] * 2, color=colour, linewidth=2, solid_capstyle="butt", zorder=3)
        points = [point for x, found in columns.items() for point in _points(x, found.values, half)]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        axes.plot(xs, ys, marker, color=colour, markersize=4.5, alpha=0.7, markeredgewidth=0, label=name, zorder=2)


def _points(x: float, values: Sequence[float], half: float) -> list[tuple[float, float]]:
    drawn = style.spread(values, POINTS)
    return [(x + half * (place % 5 - 2) / 2 * (len(drawn) > 1), value) for place, value in enumerate(drawn)]


def _finish(axes: Axes, gpus: Sequence[str], peaks: Mapping[str, float]) -> None:
    axes.set_xticks(range(len(gpus)), [f"{style.wrapped(gpu, 8, 3)}\n{peaks[gpu]:g}" for gpu in gpus])
    axes.tick_params(axis="x", length=0)
    for column in range(len(gpus) - 1):
        axes.axvline(column + 0.5, color=style.PALE, linewidth=0.6)
    axes.set_xlim(-0.5, len(gpus) - 0.5)
    axes.set_xlabel("GPU, datasheet bandwidth (GB/s)")
    axes.axhline(1, color=style.GREY, linewidth=0.8, linestyle="--")
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("floor / step (r_floor_paper)")
    axes.set_title("Unquantised decode, bytes as the paper counts them")
    axes.grid(axis="y")


def _caption(rows: int, most: int, series: int, all_series: int, gpus: int, all_gpus: int) -> str:
    return (
        f"Our points are {rows} valid unquantised cells: medians over sessions, with bytes counted as the paper does. "
        "The paper's points are the cells for which it states a fraction. A vertical line shows the range of a series "
        "on a GPU, a horizontal one its median; for the paper, both are over all cells that it measured. GPUs are "
        "sorted by bandwidth. The dashed line is the floor."
        + (f" A series with more than {POINTS} cells on a GPU has {POINTS} points." if most > POINTS else "")
        + style.left_out(series, all_series, "kinds of runtime and cache", "those with the most cells")
        + style.left_out(gpus, all_gpus, "GPUs", "evenly spread by bandwidth")
    )
