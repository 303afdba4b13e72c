"""The savings of quantised weights: time over bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D

from analysis.figures import style
from analysis.figures.style import Drawn
from analysis.tables import quant
from analysis.tables._quantrows import AnyRow, PaperRow, QuantRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = QuantRow | PaperRow
NAMED = 28
LONGEST_NAME = 96
LONGEST_LEGEND = 8
TITLE = "Savings of quantised weights"


@style.applied()
def draw(table: Sequence[AnyRow]) -> Drawn | None:
    """Returns the ratio of steps over the ratio of bytes; on the line, the whole saving in bytes is realised.

    Returns None if no measured quantised row has a baseline.
    """
    rows = [row for row in quant.valid_rows(table) if row.quant != "bf16" and row.realised]
    if not any(isinstance(row, QuantRow) for row in rows):
        return None
    rows.sort(key=lambda row: row.realised or 0.0)
    figure = style.canvas(9.6, max(4.4, 0.9 + 0.24 * min(len(rows), NAMED)))
    axes = figure.subplots()
    widest = 1.15 * max(row.ideal or 0.0 for row in rows)
    ideal = np.linspace(1, widest)  # on a logarithmic axis this line is curved, so it needs many points
    axes.plot(ideal, ideal, color=style.GREY, linewidth=0.8, linestyle="--")
    axes.axhline(1, color=style.GREY, linewidth=0.8)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:g}".strip("0.")[:1] in "235" else "")
    models = sorted({row.model for row in rows})
    for row in rows:
        is_paper = isinstance(row, PaperRow)
        axes.plot(
            *([value] for value in place(row)),
            style.PAPER_MARKER if is_paper else _marker(models, row.model),
            color=style.PAPER if is_paper else style.OURS,
            markerfacecolor="none" if is_paper else None,
            zorder=3 if is_paper else 2,
        )
        _draw_ends(axes, row)
    named = _labelled(rows)
    _label(axes, named)
    if len(models) > 1:
        handles = [Line2D([], [], color=style.OURS, marker=_marker(models, model), linestyle="") for model in models]
        axes.legend(handles[:LONGEST_LEGEND], models[:LONGEST_LEGEND], loc="lower left")
    axes.set_xlim(1, widest)
    axes.set_xlabel("bytes of the unquantised step over those of the row")
    axes.set_ylabel("time of the fastest unquantised step over that of the row")
    axes.set_title(TITLE)
    return Drawn("quant", TITLE, _caption(models, len(named), len(rows)), figure)


def _marker(models: Sequence[str], model: str) -> str:
    return style.MARKERS[models.index(model) % len(style.MARKERS)]


def _draw_ends(axes: Axes, row: Point) -> None:
    """Draws the range or the interval of the saving."""
    low, high = (row.realised_low, row.realised_high) if isinstance(row, QuantRow) else (None, None)
    if low and high and low < high:
        axes.plot(
            [row.ideal or 0.0] * 2,
            [low, high],
            "-",
            color=style.OURS,
            linewidth=0.8,
            zorder=1,
        )


def place(row: Point) -> tuple[float, float]:
    """Returns (ratio of bytes, ratio of steps), both unquantised over quantised."""
    return row.ideal or 0.0, row.realised or 0.0


def _labelled(rows: Sequence[Point]) -> list[Point]:
    """Returns the paper's points and our points with the largest savings, in the order of the rows."""
    best = [row for row in reversed(rows) if isinstance(row, QuantRow)]
    papers = [row for row in rows if isinstance(row, PaperRow)]
    chosen = {id(row) for row in [*papers, *best[: NAMED - len(papers)]]}
    return [row for row in rows if id(row) in chosen]


def _label(axes: Axes, rows: Sequence[Point]) -> None:
    """Writes a name for each point beside the axes, evenly spaced, with a line to the point."""
    for index, row in enumerate(rows):
        axes.annotate(
            name(row),
            xy=place(row),
            xytext=(1.03, (index + 0.5) / len(rows)),
            textcoords="axes fraction",
            va="center",
            fontsize=7.5,
            color=style.PAPER if isinstance(row, PaperRow) else style.BLACK,
            arrowprops={"arrowstyle": "-", "color": style.GREY, "linewidth": 0.5, "shrinkB": 4, "relpos": (0, 0.5)},
            annotation_clip=False,
        )


def name(row: Point) -> str:
    """Returns the cell and its deviations from the default (packing, checkpoint, runtime of the baseline). Flags are in
    the table."""
    marks = row.marks if isinstance(row, PaperRow) else _marks(row)
    cell = " ".join(str(row.value(field)) for field in ("gpu", "model", "ctx", "quant", "kernel"))
    return style.short(f"{row.realised:.2f}×  {cell}, {', '.join(marks)}", LONGEST_NAME)


def _marks(row: QuantRow) -> list[str]:
    baseline = [] if (row.against or "").startswith(row.runtime) else [f"against {row.against}"]
    return [row.runtime, *row.peculiarities, *baseline]


def _caption(models: Sequence[str], named: int, total: int) -> str:
    markers = style.left_out(min(len(models), LONGEST_LEGEND), len(models), "models in the legend", "the first by name")
    some = "" if named == total else f" Labels: {named} of {total} points, the paper's and our largest savings."
    return (
        "Below the dashed line a step saves less time than bytes. Below 1 it is slower than the fastest unquantised "
        "cell on the same hosts, which the label names. Lines are the ranges of the sessions, from 5 sessions on their "
        f"confidence intervals. Crosses are the paper's.{markers}{some}"
    )
