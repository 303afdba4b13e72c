"""The gap budget of a step as stacked bars."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import TYPE_CHECKING

from matplotlib.transforms import blended_transform_factory

from analysis.figures import labels, style
from analysis.figures.style import Drawn
from analysis.percent import percent
from analysis.tables import _clocks, budget
from analysis.tables._budgetrow import BudgetRow, GroupRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES, HEADING = 56, 1.3
"""Most bars, with headings, and the height of a heading in bars."""
NAME_WIDTH, HEADING_WIDTH = 36, 50
TITLE = "Where the time of a step goes"
LOOKS = {
    _clocks.FLOOR: (style.BLUE, ""),
    _clocks.ACHIEVED: (style.SKY, "----"),
    _clocks.KERNELS: (style.GREEN, "///"),
    _clocks.GAPS: (style.YELLOW, "\\\\\\"),
    _clocks.KERNELS_AND_GAPS: (style.GREEN, "xxx"),
    _clocks.HOST: (style.VERMILION, "--"),
    _clocks.NEW_LENGTH: (style.PURPLE, "|||"),
    _clocks.NOT_ATTRIBUTED: (style.GREY, "+++"),
    _clocks.REST: (style.PALE, "//"),
}
"""Colour and hatch of each term. A hatch of dots would make a large file."""


@style.applied()
def draw(table: Sequence[GroupRow]) -> Drawn | None:
    """Returns a bar for each cell with a budget: its terms as shares of the step, and the step in ms beside it.

    Cells of one GPU and model have a heading. Returns None without a cell.
    """
    valid = budget.budgets(table)
    if not valid:
        return None
    rows = _chosen(valid)
    groups = [list(group) for _, group in groupby(rows, _heading)]
    height = _height(rows)
    figure = style.canvas(1.3 + 0.19 * height)
    axes = figure.subplots()
    edge = blended_transform_factory(figure.transFigure, axes.transData)
    top = 0.0
    for group in groups:
        axes.text(0.01, top + 0.3, style.short(_heading(group[0]), HEADING_WIDTH), transform=edge, fontweight="bold")
        top += HEADING
        for row, name in zip(group, labels.names(group, _base), strict=True):
            _draw_bar(axes, top, row, style.short(name, NAME_WIDTH))
            top += 1
    _finish(axes, height)
    handles = {str(name): bar for bar, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    order = [term for term in _clocks.TERMS if term in handles]
    figure.legend([handles[term] for term in order], order, loc="outside upper left", ncols=style.columns(order))
    return Drawn("budget", TITLE, _caption(len(rows), len(valid)), figure)


def _chosen(rows: Sequence[BudgetRow]) -> list[BudgetRow]:
    """Returns as many evenly spread rows as fit with their headings; at least one."""
    choices = (style.spread(rows, count) for count in range(min(len(rows), LINES), 1, -1))
    return next((chosen for chosen in choices if _height(chosen) <= LINES), list(rows[:1]))


def _height(rows: Sequence[BudgetRow]) -> float:
    """Returns the height of the rows with their headings, in bars."""
    return len(rows) + HEADING * len(list(groupby(rows, _heading)))


def _heading(row: BudgetRow) -> str:
    return f"{row.gpu}, {row.model}"


def _base(row: BudgetRow) -> str:
    return f"{row.ctx}, {labels.configuration(row)}"


def _draw_bar(axes: Axes, place: float, row: BudgetRow, name: str) -> None:
    shares = [term.ms / row.step_wall_ms for term in row.terms]
    for start, share, term in zip(starts(shares), shares, row.terms, strict=True):
        colour, hatch = LOOKS[term.name]
        axes.barh(
            place,
            100 * share,
            0.72,
            left=100 * start,
            color=colour,
            hatch=hatch,
            edgecolor=style.BLACK,
            linewidth=0.4,
            label=term.name,
        )
    axes.text(-1, place, name, ha="right", va="center", fontsize=style.SMALL)
    axes.text(101, place, bar_text(row), va="center", fontsize=style.SMALL)


def bar_text(row: BudgetRow) -> str:
    """Returns the step in ms, and the difference between the passes that its terms come from."""
    apart = "" if row.uncertainty is None else f" ({percent(row.uncertainty)})"
    return f"{row.step_wall_ms:.2f} ms{apart}"


def starts(values: Sequence[float]) -> list[float]:
    """Returns the start of each bar, which is the end of the previous one."""
    return [0.0, *accumulate(values)][: len(values)]


def _finish(axes: Axes, height: float) -> None:
    axes.set_yticks([])
    axes.set_ylim(height - 0.4, -0.8)
    axes.set_xlim(0, 100)
    axes.set_xlabel("percent of the step")
    axes.spines["left"].set_visible(False)


def _caption(visible: int, total: int) -> str:
    return (
        "The terms of a step add up to it, in the order of the legend. Beside a bar is the step, with the difference "
        f"between passes over the same lengths in brackets. If it is more than {percent(_clocks.LIMIT)} in any of the "
        "row's sessions, everything but the floor and the kernels is not attributed."
        + style.left_out(visible, total, "cells")
    )
