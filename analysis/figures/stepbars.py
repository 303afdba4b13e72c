"""Panels of step times as bars, each with the floor of its own bytes, its percentage of that floor, and its flags."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D

from analysis import form
from analysis.figures import labels, style
from analysis.percent import percent
from analysis.tables._floorrow import FloorRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS = {
    "eager": (style.ORANGE, ""),
    "graph": (style.BLUE, "///"),
    "compile": (style.GREEN, "|||"),
    "exllamav2": (style.PURPLE, "xxx"),
    "fused": (style.SKY, "\\\\\\"),
    "llamacpp": (style.YELLOW, "---"),
}
"""Colour and hatch of each runtime; others have `OTHER`."""
OTHER = (style.GREY, "++")
NAME_WIDTH = 34
NOTE_WIDTH, TITLE_WIDTH = 76, 32
FINE_BELOW_MS = 10.0
"""Shorter steps are shown with two decimals, others with one."""
WIDEST_TEXT = 0.8
"""Share of the axis that a text beside a bar takes at most; a longer text is cut off."""


@style.applied()
def draw(panels: Sequence[Sequence[FloorRow]], one_scale: bool = False) -> Figure:
    """Returns panels of one GPU, model and ctx each, from top to bottom, with a bar for each row in the given order.

    With `one_scale` the panels share their axis, so that bars of different panels compare.
    """
    rows = [row for panel in panels for row in panel]
    letters = form.letters(row.flags for row in rows)
    note = _note(letters)
    sizes = [len(panel) for panel in panels]
    figure = style.canvas(0.4 + 0.7 * len(panels) + 0.2 * len(rows) + 0.15 * len(note))
    grid = figure.subplots(len(panels), squeeze=False, height_ratios=sizes, sharex=one_scale)[:, 0]
    width = _axis_width([name for panel in panels for name in _names(panel)])
    for axes, panel in zip(grid, panels, strict=True):
        _draw_panel(axes, panel, letters, scale(rows if one_scale else panel, letters, width))
    for axes in grid[-1:] if one_scale else grid:
        axes.set_xlabel("ms per step")
    floor = Line2D([], [], color=style.BLACK, marker="|", markersize=9, markeredgewidth=2, linestyle="none")
    figure.legend([floor], ["floor of the bar's own bytes (%: floor / step)"], loc="outside upper left")
    figure.supxlabel("\n".join(note), x=0.01, ha="left", fontsize=style.SMALL, color=style.GREY)
    return figure


def _note(letters: Mapping[str, str]) -> list[str]:
    """Returns the lines that explain the letters."""
    text = "Flags: " + ", ".join(f"{letter}\u00a0{flag}" for flag, letter in letters.items())
    return textwrap.wrap(text, NOTE_WIDTH, break_on_hyphens=False) if letters else []


def _names(rows: Sequence[FloorRow]) -> list[str]:
    return [style.short(name, NAME_WIDTH) for name in labels.names(rows, labels.configuration)]


def _axis_width(names: Sequence[str]) -> float:
    """Returns the width that an axis has beside these names, in points."""
    return style.WIDTH * style.POINTS_PER_INCH - style.CHARACTER * (max(map(len, names)) + 3)


@dataclass(frozen=True)
class Scale:
    """The axis of a panel: the longest of its bars, its end, and how many points a millisecond has at least."""

    longest_ms: float
    end_ms: float
    points_per_ms: float

    def has_room(self, row: FloorRow, text: str) -> bool:
        """Returns whether the text is legible in the row's bar: right of its floor, without a hatch behind it."""
        _, hatch = LOOKS.get(row.runtime, OTHER)
        beside_floor_ms = (row.step_wall_ms or 0.0) - (row.floor_ms or 0.0)
        return not hatch and beside_floor_ms * self.points_per_ms > style.CHARACTER * (len(text) + 2)


def scale(rows: Sequence[FloorRow], letters: Mapping[str, str], width: float) -> Scale:
    """Returns the scale of an axis of `width` points for these bars. Texts that have no room in a bar end before it."""
    longest_ms = max(row.step_wall_ms or 0.0 for row in rows)
    texts = [(row, bar_text(row, letters)) for row in rows]
    all_outside_ms = max(_end_ms(row, text, width) for row, text in texts)
    narrow = Scale(longest_ms, all_outside_ms, width / all_outside_ms)
    ends = [_end_ms(row, text, width) for row, text in texts if not narrow.has_room(row, text)]
    return Scale(longest_ms, max([1.01 * longest_ms, *ends]), narrow.points_per_ms)


def _end_ms(row: FloorRow, text: str, width: float) -> float:
    """Returns the end of an axis of `width` points on which the text fits beside its bar."""
    points = min(style.CHARACTER * (len(text) + 1), WIDEST_TEXT * width)
    return (row.step_wall_ms or 0.0) * width / (width - points)


def _draw_panel(axes: Axes, rows: Sequence[FloorRow], letters: Mapping[str, str], scale: Scale) -> None:
    for place, row in enumerate(rows):
        colour, hatch = LOOKS.get(row.runtime, OTHER)
        step_ms, floor_ms = row.step_wall_ms or 0.0, row.floor_ms or 0.0
        axes.barh(place, step_ms, 0.72, color=colour, hatch=hatch, edgecolor=style.BLACK, linewidth=0.4)
        axes.plot([floor_ms] * 2, [place - 0.48, place + 0.48], color="white", linewidth=3.4, solid_capstyle="butt")
        axes.plot([floor_ms] * 2, [place - 0.48, place + 0.48], color=style.BLACK, linewidth=2, solid_capstyle="butt")
        _write(axes, place, row, bar_text(row, letters), scale)
    axes.set_yticks(range(len(rows)), _names(rows))
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, scale.end_ms)
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= scale.longest_ms])
    axes.set_title(style.wrapped(labels.place(rows[0]), TITLE_WIDTH))


def _write(axes: Axes, place: int, row: FloorRow, text: str, scale: Scale) -> None:
    """Writes the text into its bar if that has room, else beside it."""
    step_ms, gap_ms = row.step_wall_ms or 0.0, scale.longest_ms / 80
    common: dict[str, Any] = {"va": "center_baseline", "fontsize": style.SMALL}
    if scale.has_room(row, text):
        axes.text(step_ms - gap_ms, place, text, ha="right", **common)
    else:
        axes.text(step_ms + gap_ms, place, text, **common)


def bar_text(row: FloorRow, letters: Mapping[str, str]) -> str:
    """Returns the step in ms, the percent of the floor, and the letters of the row's flags."""
    step_ms = row.step_wall_ms or 0.0
    share = percent((row.floor_ms or 0.0) / (step_ms or 1.0))
    marks = f" ({''.join(letters[flag] for flag in sorted(row.flags))})" if row.flags else ""
    return f"{step_ms:.{2 if step_ms < FINE_BELOW_MS else 1}f} ms, {share}{marks}"
