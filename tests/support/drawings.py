"""What a reader sees of a figure: its texts, which must not overlap or be cut off, and its panels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from xml.etree import ElementTree

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from analysis.figures import style

TOLERANCE = 1.0
"""Pixels by which boxes may overlap: boxes include the room above and below the letters."""
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


@style.applied()
def boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    """Returns each visible text with its box in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    seen = [text for text in _texts(figure) if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in seen]


def _texts(figure: Figure) -> Iterator[Text]:
    """Yields what a figure and its panels show; of ticks only those within the limits."""
    for part in (figure, *figure.subfigs):
        yield from part.texts
        for legend in part.legends:
            yield from legend.get_texts()
    for axes in figure.axes:
        yield from axes.texts
        yield from (axes.title, axes._left_title, axes._right_title, axes.xaxis.label, axes.yaxis.label)
        for axis in (axes.xaxis, axes.yaxis):
            yield from (label for tick in axis._update_ticks() for label in (tick.label1, tick.label2))


def faults(figure: Figure) -> list[str]:
    """Returns a line for each text that is cut off, and for each two that overlap."""
    found = boxes(figure)
    width, height = figure.get_size_inches() * figure.dpi
    cut = [
        f"cut off: {text!r}"
        for text, box in found
        if box.x0 < -TOLERANCE or box.y0 < -TOLERANCE or box.x1 > width + TOLERANCE or box.y1 > height + TOLERANCE
    ]
    return cut + [f"overlap: {one!r} and {other!r}" for (one, a), (other, b) in combinations(found, 2) if _meet(a, b)]


def _meet(one: Bbox, other: Bbox) -> bool:
    across = min(one.x1, other.x1) - max(one.x0, other.x0)
    down = min(one.y1, other.y1) - max(one.y0, other.y0)
    return bool(across > TOLERANCE and down > TOLERANCE)


def arrows(figure: Figure) -> list[str]:
    """Returns the texts that have a line to a point."""
    texts = figure.findobj(Text)
    return [text.get_text() for text in texts if getattr(text, "arrow_patch", None) is not None]


def points(axes: Axes) -> int:
    """Returns the number of data points and bars of a panel; a line across the whole panel counts as none."""
    marks = [line for line in axes.lines if line.get_transform() == axes.transData]
    return len(axes.patches) + sum(len(line.get_xdata()) for line in marks)


def content(svg: bytes) -> tuple[list[tuple[str, str]], list[float]]:
    """Returns each element of an SVG with its text, and all numbers of their shapes and places."""
    elements = list(ElementTree.fromstring(svg).iter())
    shapes = [element.get(key, "") for element in elements for key in ("d", "transform", "x", "y", "width", "height")]
    numbers = [float(number) for shape in shapes for number in NUMBER.findall(shape)]
    return [(str(element.tag), (element.text or "").strip()) for element in elements], numbers
