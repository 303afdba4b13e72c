"""One look for all figures: readable in print and by the colour-blind, since markers, lines and hatches tell what
colours tell; and what a figure does with more rows than can be read."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import matplotlib
from matplotlib.figure import Figure

from analysis.form import titles
from analysis.row import Row

Item = TypeVar("Item")

BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, YELLOW = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
)
"""The palette of Okabe and Ito (jfly.uni-koeln.de/color)."""
GREY, PALE, BLACK = "#666666", "#D9D9D9", "#000000"
OURS, PAPER = BLUE, VERMILION
SERIES = (BLUE, GREEN, ORANGE, PURPLE, SKY, BLACK)
"""Of our own points, where several series share the axes: never the paper's colour."""
MARKERS = "os^Dv<>Pp"
PAPER_MARKER = "X"
LINES = ("-", "--", "-.", ":")
DOTS_PER_INCH = 150
LONGEST_NAME = 64

SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "text.parse_math": False,  # names come from other people's stores
}


@dataclass(frozen=True)
class Drawn:
    """A figure with the name of its file, a title, and a caption that says what is left out of it."""

    name: str
    title: str
    caption: str
    figure: Figure


@contextmanager
def applied() -> Iterator[None]:
    """Draws and saves with these settings, whatever the user's own matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def canvas(width: float, height: float) -> Figure:
    """Returns an empty figure of this size in inches."""
    return Figure(figsize=(width, height), layout="constrained")


@applied()
def png(drawn: Drawn) -> bytes:
    """Returns the figure as a PNG; the same figure gives the same bytes."""
    out = io.BytesIO()
    drawn.figure.savefig(out, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    drawn.figure.set_layout_engine("none")  # laid out once more it would look a little different
    return out.getvalue()


def spread(items: Sequence[Item], limit: int) -> list[Item]:
    """Returns at most `limit` items, evenly from the first to the last."""
    if len(items) <= limit:
        return list(items)
    return [items[place * (len(items) - 1) // (limit - 1)] for place in range(limit)]


def left_out(shown: int, total: int, what: str, how: str = "evenly spread over the table") -> str:
    """Returns the sentence of a caption that says how many of all are drawn; empty where all are."""
    return "" if shown == total else f" Drawn are {shown} of {total} {what}, {how}."


def names(rows: Sequence[Row], fields: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """Returns what an axis calls each row."""
    return [short(title) for title in titles(rows, fields, candidates)]


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """Returns a name no longer than an axis can bear."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
