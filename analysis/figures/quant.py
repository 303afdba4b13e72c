"""What quantised weights save: time against bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from analysis.figures import style
from analysis.figures.style import Drawn
from analysis.tables import quant

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]

NAMED = 28
LONGEST_NAME = 96
LONGEST_LEGEND = 8
TITLE = "What quantised weights save"


@style.applied()
def draw(table: Sequence[Row]) -> Drawn | None:
    """By how much the step is shorter over by how much its bytes are fewer; on the line all of that is realised.
    None where the table has no quantised row of our own with a baseline (the paper's alone say nothing here)."""
    rows = [row for row in table if row["valid"] and row["quant"] != "bf16" and row.get("realised")]
    if not any(row["source"] == "measured" for row in rows):
        return None
    rows.sort(key=lambda row: row["realised"])
    figure = style.canvas(9.6, max(4.4, 0.9 + 0.24 * min(len(rows), NAMED)))
    axes = figure.subplots()
    widest = 1.15 * max(row["ideal"] for row in rows)
    ideal = np.linspace(1, widest)  # a straight line is none on a logarithmic axis
    axes.plot(ideal, ideal, color=style.GREY, linewidth=0.8, linestyle="--")
    axes.axhline(1, color=style.GREY, linewidth=0.8)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:g}".strip("0.")[:1] in "235" else "")
    models = sorted({row["model"] for row in rows})
    for row in rows:
        is_paper = row["source"] == "paper"
        axes.plot(
            *([value] for value in place(row)),
            style.PAPER_MARKER if is_paper else _marker(models, row["model"]),
            color=style.PAPER if is_paper else style.OURS,
            markerfacecolor="none" if is_paper else None,
            zorder=3 if is_paper else 2,
        )
        _draw_ends(axes, row)
    named = _named(rows)
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


def _draw_ends(axes: Axes, row: Row) -> None:
    """The range of the saving, or its interval."""
    if row.get("realised_low") and row["realised_low"] < row["realised_high"]:
        axes.plot(
            [row["ideal"]] * 2,
            [row["realised_low"], row["realised_high"]],
            "-",
            color=style.OURS,
            linewidth=0.8,
            zorder=1,
        )


def place(row: Row) -> tuple[float, float]:
    """(by how much the bytes are fewer, by how much the step is shorter)."""
    return row["ideal"], row["realised"]


def _named(rows: Sequence[Row]) -> list[Row]:
    """The paper's, and those of ours that save most time; in the order of the rows."""
    best = [row for row in reversed(rows) if row["source"] == "measured"]
    papers = [row for row in rows if row["source"] == "paper"]
    chosen = {id(row) for row in [*papers, *best[: NAMED - len(papers)]]}
    return [row for row in rows if id(row) in chosen]


def _label(axes: Axes, rows: Sequence[Row]) -> None:
    """A name for each point, beside the axes and evenly spaced, with a line that leads to it."""
    for index, row in enumerate(rows):
        axes.annotate(
            name(row),
            xy=place(row),
            xytext=(1.03, (index + 0.5) / len(rows)),
            textcoords="axes fraction",
            va="center",
            fontsize=7.5,
            color=style.PAPER if row["source"] == "paper" else style.BLACK,
            arrowprops={"arrowstyle": "-", "color": style.GREY, "linewidth": 0.5, "shrinkB": 4, "relpos": (0, 0.5)},
            annotation_clip=False,
        )


def name(row: Row) -> str:
    """What the point is: the cell, and whatever else is not usual (another packing, a checkpoint, a baseline of another
    runtime). Flags stand in the table."""
    runtime = row.get("runtime") or ""
    baseline = [] if row["against"].startswith(runtime) else [f"against {row['against']}"]
    marks = ", ".join([runtime, *quant.marks({**row, "flags": []}), *baseline]).strip(", ")
    cell = " ".join(str(row[field]) for field in ("gpu", "model", "ctx", "quant", "kernel"))
    return style.short(f"{row['realised']:.2f}×  {cell}, {marks}", LONGEST_NAME)


def _caption(models: Sequence[str], named: int, total: int) -> str:
    markers = style.left_out(min(len(models), LONGEST_LEGEND), len(models), "models in the legend", "the first by name")
    some = "" if named == total else f" Named are {named} of {total} points, the paper's and the highest of ours."
    return (
        "Below the dashed line the step saves less time than bytes; below 1 it is slower than the fastest unquantised "
        "cell on the same hosts, which each name tells. Lines are the ranges of the sessions, from 5 sessions on "
        f"intervals. Crosses are the paper's.{markers}{some}"
    )
