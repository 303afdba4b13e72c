"""The savings of quantised weights: for each cell the saving that its bytes allow, and the one that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D

from analysis import protocoltitles
from analysis.figures import labels, style
from analysis.figures.style import Drawn
from analysis.tables import quant
from analysis.tables._quantrows import AnyRow, PaperRow, QuantRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = QuantRow | PaperRow
ROWS = 36
NAME_WIDTH = 36
LINE = "#B3B3B3"
TITLE = "Savings of quantised weights"


@style.applied()
def draw(table: Sequence[AnyRow]) -> Drawn | None:
    """Returns a line from the ideal to the realised saving of each quantised row, the largest realised one on top.

    Returns None if no measured quantised row has a baseline.
    """
    saved = [row for row in quant.valid_rows(table) if row.quant != labels.UNQUANTISED and row.realised and row.ideal]
    ours = protocoltitles.comparable(quant.measured_rows(saved))
    if not ours:
        return None
    rows: list[Point] = [*ours, *(row for row in saved if isinstance(row, PaperRow))]
    rows.sort(key=lambda row: -(row.realised or 0.0))
    drawn = style.spread(rows, ROWS)
    figure = style.canvas(0.9 + 0.29 * len(drawn))
    axes = figure.subplots()
    for place, row in enumerate(drawn):
        _draw_row(axes, place, row)
    axes.axvline(1, color=style.GREY, linewidth=0.8, linestyle="--", zorder=0)
    axes.set_yticks(range(len(drawn)), _names(drawn), fontsize=style.SMALL)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    style.logarithmic(axes, "x", [1.0, *(value for row in drawn for value in (row.ideal or 1.0, *_ends(row)))])
    axes.set_xlabel("saving: unquantised / row")
    axes.grid(axis="x")
    figure.legend(handles=_handles(drawn), loc="outside upper left", ncols=3)
    return Drawn("quant", TITLE, _caption(len(drawn), len(rows)), figure)


def name(row: Point) -> str:
    """Returns the configuration, and the baseline's runtime if it is another."""
    weights = f"{row.quant} {row.kernel}"
    if isinstance(row, PaperRow):
        return f"{weights}, the paper"
    baseline, _, _ = (row.against or "").partition(" ")
    return f"{weights}, {row.runtime}" + ("" if baseline == row.runtime else f" / {baseline}")


def _names(rows: Sequence[Point]) -> list[str]:
    """Returns two lines for each row: GPU, model and ctx, and the configuration."""
    lines = ((f"{row.gpu} {row.model} {row.ctx}", text) for row, text in zip(rows, _configurations(rows), strict=True))
    return ["\n".join(style.short(line, NAME_WIDTH) for line in pair) for pair in lines]


def _configurations(rows: Sequence[Point]) -> list[str]:
    return labels.names(rows, name, ("gpu", "model", "ctx", "source"))


def _ends(row: Point) -> tuple[float, float]:
    """Returns the range or the interval of the realised saving; the saving itself if it has none."""
    realised = row.realised or 0.0
    if isinstance(row, PaperRow):
        return realised, realised
    return row.realised_low or realised, row.realised_high or realised


def _draw_row(axes: Axes, place: int, row: Point) -> None:
    colour = style.PAPER if isinstance(row, PaperRow) else style.OURS
    ideal, realised = row.ideal or 0.0, row.realised or 0.0
    axes.plot([ideal, realised], [place, place], color=LINE, linewidth=2.5, zorder=1)
    low, high = _ends(row)
    if low < high:
        axes.plot([low, high], [place, place], color=colour, linewidth=1, marker="|", markersize=6, zorder=2)
    axes.plot([ideal], [place], style.MARKERS[0], color=colour, markerfacecolor="white", markersize=6, zorder=3)
    axes.plot([realised], [place], _marker(row), color=colour, markersize=6, zorder=3)
    axes.text(1.01, place, f"{realised:.2f}×", transform=axes.get_yaxis_transform(), va="center", fontsize=style.SMALL)


def _marker(row: Point) -> str:
    return style.PAPER_MARKER if isinstance(row, PaperRow) else style.MARKERS[0]


def _handles(rows: Sequence[Point]) -> list[Line2D]:
    ideal = Line2D([], [], color=style.OURS, marker=style.MARKERS[0], markerfacecolor="white", linestyle="none")
    ours = Line2D([], [], color=style.OURS, marker=style.MARKERS[0], linestyle="none")
    paper = Line2D([], [], color=style.PAPER, marker=style.PAPER_MARKER, linestyle="none")
    for handle, text in ((ideal, "ideal (bytes)"), (ours, "realised (time)"), (paper, "realised, the paper")):
        handle.set_label(text)
    return [ideal, ours, *([paper] if any(isinstance(row, PaperRow) for row in rows) else [])]


def _caption(visible: int, total: int) -> str:
    return (
        "A hollow marker is the saving that the bytes allow, a filled one the saving in time, also written at the "
        "right. Left of the dashed line a cell is slower than the fastest unquantised cell on the same hosts, which a "
        "name gives after a slash if it has another runtime. Thin lines are ranges of the sessions, from 5 sessions on "
        "their confidence intervals." + style.left_out(visible, total, "cells", "evenly spread over the savings")
    )
