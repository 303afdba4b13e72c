"""The paper's main figure: the achieved fraction of the floor over the memory bandwidth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import log10
from typing import TYPE_CHECKING

from analysis import paper
from analysis.figures import style
from analysis.figures.style import Drawn
from analysis.tables._floorrow import FloorRow
from runner.cell import catalogue

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEIGHBOURS = 0.07
"""Difference of log10 bandwidths below which GPUs share a tick."""
STEP_ASIDE = 0.012
"""Offset in log10 between two series at the same GPU."""
TITLE = "Achieved fraction of the floor over memory bandwidth"


@style.applied()
def draw(table: Sequence[FloorRow]) -> Drawn | None:
    """Returns the valid unquantised rows over the bandwidth, beside the paper's points and ranges.

    Returns None if no row has a datasheet bandwidth.
    """
    rows = [row for row in table if _is_shown(row)]
    if not rows:
        return None
    series: dict[tuple[str, str], list[FloorRow]] = defaultdict(list)
    for row in rows:
        series[(row.runtime, row.cache)].append(row)
    figure = style.canvas(9.6, 4.8)
    left, right = figure.subplots(1, 2, sharey=True)
    _draw_paper(left)
    for axes, ratio in ((left, "r_floor_paper"), (right, "r_floor")):
        for place, key in enumerate(sorted(series)):
            _draw_series(axes, series[key], ratio, place - (len(series) - 1) / 2, place, " ".join(key))
        _finish(axes, rows)
    left.set_title("r_floor_paper: bytes as the paper counts them")
    right.set_title("r_floor: bytes that a step must read")
    left.set_ylabel("achieved fraction of the floor")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6))
    return Drawn("floor-bandwidth", TITLE, _caption(rows), figure)


def _is_shown(row: FloorRow) -> bool:
    return row.valid and row.quant == "bf16" and row.r_floor is not None and _peak(row) is not None


def _peak(row: FloorRow) -> float | None:
    gpu = catalogue.gpus().get(row.gpu)
    return gpu.bandwidth_gbs.value if gpu else None


def _draw_series(axes: Axes, rows: Sequence[FloorRow], ratio: str, aside: float, place: int, label: str) -> None:
    points = [(peak * 10 ** (aside * STEP_ASIDE), row.value(ratio)) for row in rows if (peak := _peak(row))]
    colour, marker = style.SERIES[place % len(style.SERIES)], style.MARKERS[place % len(style.MARKERS)]
    xs, ys = zip(*points, strict=True)
    axes.plot(xs, ys, marker, color=colour, markersize=5, alpha=0.75, markeredgewidth=0, label=label)


def _draw_paper(axes: Axes) -> None:
    """Draws the paper's points, and for each GPU a bar from lowest to highest with a tick at the median."""
    bandwidths = {row.gpu: row.bandwidth_gbs for row in paper.floor_rows()}
    for row in paper.range_rows():
        x = bandwidths[row.gpu]
        axes.plot([x, x], [row.low, row.high], color=style.PAPER, linewidth=1, zorder=1)
        axes.plot([x], [row.median], "_", color=style.PAPER, markersize=12, markeredgewidth=1.6, zorder=1)
    axes.plot(
        [row.bandwidth_gbs for row in paper.floor_rows()],
        [row.r_floor_paper for row in paper.floor_rows()],
        style.PAPER_MARKER,
        color=style.PAPER,
        markerfacecolor="none",
        markersize=5,
        label="the paper (bar: range and median)",
    )


def _finish(axes: Axes, rows: Sequence[FloorRow]) -> None:
    peaks = {figure.gpu: figure.bandwidth_gbs for figure in paper.floor_rows()}
    peaks |= {row.gpu: peak for row in rows if (peak := _peak(row)) is not None}
    places = ticks(peaks)
    axes.set_xscale("log")
    axes.set_xticks([place for place, _ in places], [text for _, text in places])
    axes.set_xticks([], minor=True)
    axes.set_xlim(places[0][0] / 1.3, places[-1][0] * 1.3)
    axes.set_xlabel("datasheet bandwidth (GB/s)")
    axes.axhline(1, color=style.GREY, linewidth=0.8, linestyle="--")
    axes.set_ylim(0, 1.05)
    axes.grid(axis="y", color=style.PALE, linewidth=0.6)
    axes.set_axisbelow(True)


def ticks(peaks: Mapping[str, float]) -> list[tuple[float, str]]:
    """Returns position in GB/s and label of each tick. GPUs too close for two labels share a tick at the lowest peak of
    theirs, whose label names each of them and each peak."""
    groups: list[list[str]] = []
    for gpu in sorted(peaks, key=lambda name: (peaks[name], name)):
        near = groups and log10(peaks[gpu] / peaks[groups[-1][0]]) < NEIGHBOURS
        groups[-1].append(gpu) if near else groups.append([gpu])
    return [(peaks[group[0]], _tick_text([(gpu, peaks[gpu]) for gpu in group])) for group in groups]


def _tick_text(group: Sequence[tuple[str, float]]) -> str:
    values = list(dict.fromkeys(f"{peak:g}" for _, peak in group))
    return "\n".join([*(gpu for gpu, _ in group), "/".join(values)])


def _caption(rows: Sequence[FloorRow]) -> str:
    return (
        f"Each point is one of {len(rows)} valid unquantised cells (median over sessions). Left: with the paper's "
        "count of bytes, comparable with its points. Right: with the bytes that a step must read. The dashed line is "
        "the floor."
    )
