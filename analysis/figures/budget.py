"""The gap budget as stacked bars."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import TYPE_CHECKING

from analysis.figures import style
from analysis.figures.style import Drawn
from analysis.tables import _clocks, budget
from analysis.tables._budgetrow import BudgetRow, GroupRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELLS = 40
TITLE = "Gap budget of a step"
LOOKS = {
    _clocks.FLOOR: (style.BLUE, ""),
    _clocks.ACHIEVED: (style.SKY, "..."),
    _clocks.KERNELS: (style.GREEN, "///"),
    _clocks.GAPS: (style.YELLOW, "\\\\\\"),
    _clocks.KERNELS_AND_GAPS: (style.GREEN, "xxx"),
    _clocks.HOST: (style.VERMILION, "---"),
    _clocks.NEW_LENGTH: (style.PURPLE, "|||"),
    _clocks.NOT_ATTRIBUTED: (style.GREY, "++"),
    _clocks.REST: (style.PALE, "ooo"),
}
"""Colour and hatch of each term."""


@style.applied()
def draw(table: Sequence[GroupRow]) -> Drawn | None:
    """Returns a bar of terms for each cell with a budget, with one scale per GPU. Returns None without a cell."""
    valid = budget.budgets(table)
    if not valid:
        return None
    rows = style.spread(valid, CELLS)
    names = dict(zip(map(id, rows), style.names(rows, budget.NAMED_FIELDS, budget.DISTINGUISHING_FIELDS), strict=True))
    rows_by_gpu = [list(gpu_rows) for _, gpu_rows in groupby(rows, key=lambda row: row.gpu)]
    figure = style.canvas(9.6, 0.9 + 0.25 * len(rows) + 0.6 * len(rows_by_gpu))
    panels = figure.subplots(
        len(rows_by_gpu), squeeze=False, height_ratios=[len(gpu_rows) + 1.5 for gpu_rows in rows_by_gpu]
    )[:, 0]
    for axes, gpu_rows in zip(panels, rows_by_gpu, strict=True):
        _draw_gpu(axes, gpu_rows, [names[id(row)] for row in gpu_rows])
    panels[0].set_title(TITLE)
    panels[-1].set_xlabel("ms of a step")
    handles = {label: bar for axes in panels for bar, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    order = [term for term in _clocks.TERMS if term in handles]
    figure.legend([handles[term] for term in order], order, loc="outside lower center", ncols=len(order))
    return Drawn("budget", TITLE, _caption(len(rows), len(valid)), figure)


def _draw_gpu(axes: Axes, rows: Sequence[BudgetRow], names: Sequence[str]) -> None:
    for place, row in enumerate(rows):
        _draw_bar(axes, place, row)
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.25 * max(row.step_wall_ms for row in rows))


def _draw_bar(axes: Axes, place: int, row: BudgetRow) -> None:
    for start, term in zip(starts([term.ms for term in row.terms]), row.terms, strict=True):
        colour, hatch = LOOKS[term.name]
        axes.barh(
            place,
            term.ms,
            0.72,
            left=start,
            color=colour,
            hatch=hatch,
            edgecolor=style.BLACK,
            linewidth=0.4,
            label=term.name,
        )
    axes.annotate(
        bar_text(row), (row.step_wall_ms, place), (4, 0), textcoords="offset points", va="center", fontsize=7.5
    )


def bar_text(row: BudgetRow) -> str:
    """Returns the step in ms, and the difference between the passes that its terms come from."""
    apart = "" if row.uncertainty is None else f" ({row.uncertainty:.0%} apart)"
    return f"{row.step_wall_ms:.2f}{apart}"


def starts(values: Sequence[float]) -> list[float]:
    """Returns the start of each bar, which is the end of the previous one."""
    return [0.0, *accumulate(values)][: len(values)]


def _caption(visible: int, total: int) -> str:
    return (
        "The terms of a step add up to it, in the order of the legend. Each GPU has its own scale. Brackets give the "
        f"difference between passes over the same lengths. Beyond {_clocks.LIMIT:.0%}, everything but the floor and "
        "the kernels is not attributed." + style.left_out(visible, total, "cells")
    )
