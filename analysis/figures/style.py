"""The common style of figures. Markers, line styles and hatches repeat what colours show, for print and colour-blind
readers."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
WIDTH = 4.6
"""Width of every figure in inches: in a window of 390 pixels, a point of its text is about a pixel."""
POINTS_PER_INCH = 72
CHARACTER = 4.3
"""Width of an average character of a tick's label or of small text, in points."""
LONGEST_NAME = 64
LEGEND_WIDTH = 70
"""Characters of a legend that fit into the width, with about seven for each entry's symbol."""
MARGIN = 1.5
"""Factor beside the values of a logarithmic axis, so that it always has two ticks: those of `FINE` are closer."""
FINE, COARSE = (1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5)
"""Ticks of a logarithmic axis of less than one decade, and of one or more."""
SMALL = 7.8
"""Size of notes and of text beside data, in points."""

SETTINGS: dict[Any, Any] = {
    "font.size": 8.5,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],  # the others are as wide or narrower
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "figure.labelsize": 8.5,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "text.parse_math": False,  # names may come from foreign stores
    "svg.fonttype": "none",
    "svg.hashsalt": "decode-floor",
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


def canvas(height: float) -> Figure:
    """Returns an empty figure of the common width; the height is in inches."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def look(place: int) -> tuple[str, str]:
    """Returns colour and marker of a series by its place among the series."""
    return SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]


def spread(items: Sequence[Item], limit: int) -> list[Item]:
    """Returns at most `limit` items, evenly spaced from the first to the last."""
    if len(items) <= limit:
        return list(items)
    return [items[place * (len(items) - 1) // (limit - 1)] for place in range(limit)]


def left_out(drawn: int, total: int, items: str, choice: str = "evenly spread over the table") -> str:
    """Returns the sentence of a caption that states how many items are drawn; empty if all are."""
    return "" if drawn == total else f" Drawn: {drawn} of {total} {items}, {choice}."


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """Returns the name, cut to `longest` characters."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def wrapped(name: str, width: int, lines: int = 2) -> str:
    """Returns the name in at most `lines` lines of at most `width` characters, cut if it is longer."""
    return "\n".join(textwrap.wrap(name, width, max_lines=lines, placeholder="…"))


def columns(names: Sequence[str]) -> int:
    """Returns how many columns a legend of these names may have, at most four."""
    return min(4, max(1, LEGEND_WIDTH // (max(map(len, names)) + 7)))


def logarithmic(axes: Axes, axis: Literal["x", "y"], values: Sequence[float]) -> None:
    """Makes an axis logarithmic, wide enough for these values and at least two ticks, with numbers as labels."""
    low, high = min(values) / MARGIN, max(values) * MARGIN
    if axis == "x":
        axes.set_xscale("log")
        axes.set_xlim(low, high)
    else:
        axes.set_yscale("log")
        axes.set_ylim(low, high)
    one = axes.xaxis if axis == "x" else axes.yaxis
    one.set_major_locator(LogLocator(subs=FINE if high < 10 * low else COARSE))
    one.set_major_formatter(lambda value, _: f"{value:g}")
    one.set_minor_locator(NullLocator())
