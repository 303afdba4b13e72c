"""The distribution of single steps over all timed steps of a cell's sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, cast

import polars

from analysis.figures import labels, style
from analysis.figures.style import Drawn
from analysis.row import GROUP, Row
from analysis.sources.frame import Details, Frame, Source
from analysis.tables._floorrow import FloorRow
from runner.counts import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELLS, SESSIONS = 8, 20
NAME_WIDTH = 56
TITLE = "Distribution of single steps"


@dataclass(frozen=True)
class Steps:
    """A cell: its name, its number of sessions, and the timed steps of its newest sessions in ms."""

    name: str
    sessions: int
    steps_ms: tuple[tuple[float, ...], ...]


def read(source: Source, frame: Frame, table: Sequence[FloorRow]) -> tuple[list[Steps], int]:
    """Returns the steps of at most `CELLS` valid cells, those with the most sessions, and the number of valid cells."""
    valid = [row for row in table if row.valid]
    rows = _chosen(valid)
    names = labels.names(rows, lambda row: f"{row.gpu} {row.model} {row.ctx} {labels.configuration(row)}")
    return steps_of(source, frame, rows, names), len(valid)


def steps_of(
    source: Source,
    frame: Frame,
    rows: Sequence[Row],
    names: Sequence[str],
    times: Callable[[Details], tuple[float, ...]] = attrgetter("steps_ms"),
) -> list[Steps]:
    """Returns the steps, or other `times`, of rows of sessions. The rows have a value for `sessions` and each key of
    `GROUP`."""
    sessions_by_row = [_newest(frame, row) for row in rows]
    details = source.details([session for session_ids in sessions_by_row for session in session_ids])
    return [
        Steps(name, cast(int, row.value("sessions")), tuple(times(details[session]) for session in session_ids))
        for name, row, session_ids in zip(names, rows, sessions_by_row, strict=True)
    ]


def _chosen(valid: Sequence[FloorRow]) -> list[FloorRow]:
    """Returns the rows with the most sessions, in their order: all rows of a number of sessions or none.

    If even the rows with the most sessions are too many, these are evenly spread.
    """
    ordered = sorted((row.sessions for row in valid), reverse=True)
    if len(ordered) <= CELLS:
        return list(valid)
    fewest = next((count for count in reversed(ordered[:CELLS]) if count > ordered[CELLS]), ordered[0])
    return style.spread([row for row in valid if row.sessions >= fewest], CELLS)


def _newest(frame: Frame, row: Row) -> list[str]:
    same = [polars.col(name).eq_missing(polars.lit(row.value(name))) for name in GROUP]
    return [str(session) for session in frame.sessions.filter(*same)["session"].to_list()[-SESSIONS:]]


def draw(cells: Sequence[Steps], total: int) -> Drawn | None:
    """Returns the cumulative distribution of steps: bold for all sessions of a cell, pale for each session.

    Returns None without steps. `total` is the number of valid cells.
    """
    visible = [cell for cell in cells if any(cell.steps_ms)]
    if not visible:
        return None
    left_out = style.left_out(len(visible), total, "cells", "those with the most sessions")
    return Drawn("latency", TITLE, f"{caption(visible)}{left_out}", distributions(visible, "step", "steps", ()))


@style.applied()
def distributions(cells: Sequence[Steps], timed: str, counted_: str, also: Sequence[float]) -> Figure:
    """Returns the figure of the cells' distributions. `timed` and `counted_` name the times on the axes; the horizontal
    one also has the times `also`."""
    figure = style.canvas(2.8 + 0.17 * len(cells))
    axes = figure.subplots()
    for place, cell in enumerate(cells):
        _draw_cell(axes, place, cell)
    style.logarithmic(axes, "x", [*also, *(step for cell in cells for steps in cell.steps_ms for step in steps)])
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(f"{timed}, host clock (ms)")
    axes.set_ylabel(f"share of {counted_} up to this time")
    axes.grid(axis="both")
    figure.legend(loc="outside upper left")
    return figure


def ecdf(values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Returns the sorted values, and for each the share of values that are not larger."""
    return sorted(values), [(place + 1) / len(values) for place in range(len(values))]


def _draw_cell(axes: Axes, place: int, cell: Steps) -> None:
    colour, marker = style.look(place)
    for steps in cell.steps_ms:
        axes.step(*ecdf(steps), where="post", color=colour, linewidth=0.5, alpha=0.25)
    xs, ys = ecdf([step for steps in cell.steps_ms for step in steps])
    axes.step(
        xs,
        ys,
        where="post",
        color=colour,
        linewidth=1.6,
        linestyle=style.LINES[place % len(style.LINES)],
        marker=marker,
        markevery=(place / 40, 0.22),
        markersize=5,
        label=f"{style.short(cell.name, NAME_WIDTH)}, {counted(len(cell.steps_ms), 'session')}",
    )


def caption(cells: Sequence[Steps]) -> str:
    """Returns the explanation of the lines of these cells."""
    some = (
        " For a cell with more, only the newest 20 sessions." if any(cell.sessions > SESSIONS for cell in cells) else ""
    )
    return (
        "Every timed step. Bold: all sessions of a cell together; pale: each session. The horizontal axis is "
        f"logarithmic.{some}"
    )
