"""The common style of figures. Markers, line styles and hatches repeat what colours show, for print and colour-blind
readers."""

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
"""Colours of our series; the paper's colour is excluded."""
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
    "text.parse_math": False,  # names may come from foreign stores
}


@dataclass(frozen=True)
class Drawn:
    """A figure with its file name, a title, and a caption that states what is left out."""

    name: str
    title: str
    caption: str
    figure: Figure


@contextmanager
def applied() -> Iterator[None]:
    """Draws and saves with these settings, regardless of the user's matplotlibrc."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def canvas(width: float, height: float) -> Figure:
    """Returns an empty figure; width and height in inches."""
    return Figure(figsize=(width, height), layout="constrained")


@applied()
def png(drawn: Drawn) -> bytes:
    """Returns the figure as PNG. The same figure gives the same bytes."""
    out = io.BytesIO()
    drawn.figure.savefig(out, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    drawn.figure.set_layout_engine("none")  # a second layout would differ slightly
    return out.getvalue()


def spread(items: Sequence[Item], limit: int) -> list[Item]:
    """Returns at most `limit` items, evenly spaced from the first to the last."""
    if len(items) <= limit:
        return list(items)
    return [items[place * (len(items) - 1) // (limit - 1)] for place in range(limit)]


def left_out(drawn: int, total: int, items: str, choice: str = "evenly spread over the table") -> str:
    """Returns the sentence of a caption that states how many items are drawn; empty if all are."""
    return "" if drawn == total else f" Drawn: {drawn} of {total} {items}, {choice}."


def names(rows: Sequence[Row], fields: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """Returns a label for each row."""
    return [short(title) for title in titles(rows, fields, candidates)]


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """Returns the name, cut to `longest` characters."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
