"""Step times of one model on one GPU: a bar for each runtime and quantisation, with the floor of its own bytes."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D

from analysis import form, protocoltitles
from analysis.figures import labels, style
from analysis.figures.style import Drawn
from analysis.percent import percent
from analysis.tables._floorrow import FloorRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEWEST_SESSIONS = 3
PANELS, BARS = 4, 18
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
TITLE = "Step time and memory floor"


@style.applied()
def draw(table: Sequence[FloorRow]) -> Drawn | None:
    """Returns a panel for each GPU, with the model and ctx that have the most bars there; shortest steps first.

    Returns None if no GPU has two bars.
    """
    rows = protocoltitles.comparable([row for row in table if is_shown(row)])
    panels = _panels(rows)
    if not panels:
        return None
    chosen = style.spread(panels, PANELS)
    bars = [sorted(panel, key=lambda row: row.step_wall_ms or 0.0)[:BARS] for panel in chosen]
    letters = form.letters(row.flags for panel in bars for row in panel)
    note = _note(letters)
    sizes = [len(panel) for panel in bars]
    figure = style.canvas(0.4 + 0.7 * len(bars) + 0.2 * sum(sizes) + 0.15 * len(note))
    for axes, panel in zip(figure.subplots(len(bars), squeeze=False, height_ratios=sizes)[:, 0], bars, strict=True):
        _draw_panel(axes, panel, letters)
    floor = Line2D([], [], color=style.BLACK, marker="|", markersize=9, markeredgewidth=2, linestyle="none")
    figure.legend([floor], ["floor of the bar's own bytes (%: floor / step)"], loc="outside upper left")
    figure.supxlabel("\n".join(note), x=0.01, ha="left", fontsize=style.SMALL, color=style.GREY)
    return Drawn("floor-steps", TITLE, _caption(len(rows), bars, chosen, len(panels)), figure)


def is_shown(row: FloorRow) -> bool:
    """Returns whether the row is valid, has a floor and enough sessions."""
    return row.valid and bool(row.floor_ms) and bool(row.step_wall_ms) and row.sessions >= FEWEST_SESSIONS


def _panels(rows: Sequence[FloorRow]) -> list[list[FloorRow]]:
    """Returns for each GPU the rows of one model and ctx, those with the most rows; GPUs with one row have none."""
    places: dict[str, dict[tuple[str, int], list[FloorRow]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        places[row.gpu][(row.model, row.ctx)].append(row)
    largest = [max(places[gpu].values(), key=len) for gpu in sorted(places)]
    return [panel for panel in largest if len(panel) > 1]


def _draw_panel(axes: Axes, rows: Sequence[FloorRow], letters: Mapping[str, str]) -> None:
    longest = max(row.step_wall_ms or 0.0 for row in rows)
    for place, row in enumerate(rows):
        colour, hatch = LOOKS.get(row.runtime, OTHER)
        step_ms, floor_ms = row.step_wall_ms or 0.0, row.floor_ms or 0.0
        axes.barh(place, step_ms, 0.72, color=colour, hatch=hatch, edgecolor=style.BLACK, linewidth=0.4)
        axes.plot([floor_ms] * 2, [place - 0.48, place + 0.48], color="white", linewidth=3.4, solid_capstyle="butt")
        axes.plot([floor_ms] * 2, [place - 0.48, place + 0.48], color=style.BLACK, linewidth=2, solid_capstyle="butt")
        axes.text(step_ms + longest / 80, place, bar_text(row, letters), va="center", fontsize=style.SMALL)
    names = [style.short(name, NAME_WIDTH) for name in labels.names(rows, labels.configuration)]
    axes.set_yticks(range(len(rows)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, limit(rows, letters, max(map(len, names))))
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= longest])
    axes.set_xlabel("ms per step")
    axes.set_title(style.wrapped(labels.place(rows[0]), TITLE_WIDTH))


def limit(rows: Sequence[FloorRow], letters: Mapping[str, str], longest_name: int) -> float:
    """Returns the end of the axis in ms at which the text beside each bar is within the figure."""
    width = style.WIDTH * style.POINTS_PER_INCH - style.CHARACTER * (longest_name + 3)
    texts = (style.CHARACTER * (len(bar_text(row, letters)) + 1) for row in rows)
    return max(
        (row.step_wall_ms or 0.0) * width / (width - min(text, 0.8 * width))
        for row, text in zip(rows, texts, strict=True)
    )


def bar_text(row: FloorRow, letters: Mapping[str, str]) -> str:
    """Returns the step in ms, the percent of the floor, and the letters of the row's flags."""
    share = percent((row.floor_ms or 0.0) / (row.step_wall_ms or 1.0))
    marks = f" ({''.join(letters[flag] for flag in sorted(row.flags))})" if row.flags else ""
    return f"{row.step_wall_ms:.1f} ms, {share}{marks}"


def _note(letters: Mapping[str, str]) -> list[str]:
    """Returns the lines that explain the letters."""
    text = "Flags: " + ", ".join(f"{letter}\u00a0{flag}" for flag, letter in letters.items())
    return textwrap.wrap(text, NOTE_WIDTH, break_on_hyphens=False) if letters else []


def _caption(total: int, bars: Sequence[Sequence[FloorRow]], chosen: Sequence[Sequence[FloorRow]], panels: int) -> str:
    shown, whole = (sum(map(len, group)) for group in (bars, chosen))
    return (
        f"Each bar is the median step of a valid cell with at least {FEWEST_SESSIONS} sessions. The tick is its floor: "
        "the bytes that this cell must read, at the datasheet bandwidth. The percentage is floor / step. Letters mark "
        "flags. For each GPU, the figure shows the model and ctx with the most cells, the fastest first; "
        f"it has {shown} of the {total} cells."
        + style.left_out(shown, whole, "bars of these panels", "the fastest")
        + style.left_out(len(chosen), panels, "GPUs", "evenly spread by name")
    )
