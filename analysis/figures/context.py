"""The achieved fraction of the floor over the context length, one panel per GPU and model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from analysis import form
from analysis.figures import style
from analysis.figures.style import Drawn
from analysis.statistics import intervals
from analysis.tables import floor
from analysis.tables._floorrow import FloorRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Panel = tuple[str, str]

PANELS, LINES, ACROSS = 9, 8, 3
NAMED = ("gpu", "model", "ctx", "runtime", "cache")
TITLE = "Achieved fraction of the floor over context length"


@style.applied()
def draw(table: Sequence[FloorRow]) -> Drawn | None:
    """Returns one line per runtime, cache and other distinguishing field, with the interval of each point.

    Returns None if no row has a ratio.
    """
    rows = [row for row in table if row.valid and ratio_of(row) is not None]
    if not rows:
        return None
    panels = _panels(rows)
    series = _series(rows)
    chosen = style.spread(sorted(panels), PANELS)
    lines = _chosen_series(series, [row for panel in chosen for row in panels[panel]])
    figure = style.canvas(9.6, 1.0 + 3.0 * -(-len(chosen) // ACROSS))
    _draw_panels(figure, {panel: panels[panel] for panel in chosen}, series, lines)
    _draw_legend(figure, lines)
    caption = _caption(len(chosen), len(panels), len(lines), len(set(series.values())))
    return Drawn("floor-context", TITLE, caption, figure)


def _draw_panels(
    figure: Figure, panels: Mapping[Panel, Sequence[FloorRow]], series: Mapping[int, str], lines: Sequence[str]
) -> None:
    """Draws the panels. If all have the same ratio, they share its axis, labelled once per row of panels."""
    across = min(len(panels), ACROSS)
    alike = len({_ratio_name(rows) for rows in panels.values()}) == 1
    grid = figure.subplots(-(-len(panels) // across), across, sharey=alike, squeeze=False)
    for number, (axes, (panel, rows)) in enumerate(zip(grid.flat, panels.items(), strict=False)):
        _draw_panel(axes, panel, rows, series, lines)
        axes.set_ylabel("" if alike and number % across else _ratio_name(rows))
    for axes in grid.flat[: len(panels)]:
        axes.set_ylim(bottom=0)  # after drawing: a shared axis would keep the top of the first panel
    for axes in grid.flat[len(panels) :]:
        axes.remove()


def _draw_legend(figure: Figure, lines: Sequence[str]) -> None:
    handles = {label: handle for axes in figure.axes for handle, label in zip(*_legend(axes), strict=True)}
    labels = [label for label in lines if label in handles]
    figure.legend([handles[label] for label in labels], labels, loc="outside lower center", ncols=3)


def ratio_of(row: FloorRow) -> float | None:
    """Returns r_floor, or r_floor_achievable if the GPU has no datasheet bandwidth."""
    return row.r_floor_achievable if row.r_floor is None else row.r_floor


def _ratio_name(rows: Sequence[FloorRow]) -> str:
    return "r_floor" if any(row.r_floor is not None for row in rows) else "r_floor_achievable"


def interval_of(row: FloorRow) -> tuple[float, float]:
    """Returns (low, high) of the ratio."""
    step_ms = (row.step_wall_ms, row.step_wall_ms_low, row.step_wall_ms_high)
    return intervals.ratio_interval(ratio_of(row) or 0.0, *(ms or 0.0 for ms in step_ms))


def _panels(rows: Sequence[FloorRow]) -> dict[Panel, list[FloorRow]]:
    panels: dict[Panel, list[FloorRow]] = defaultdict(list)
    for row in rows:
        panels[(row.gpu, row.model)].append(row)
    return panels


def _series(rows: Sequence[FloorRow]) -> dict[int, str]:
    """Returns the name of each row's line by the row's id."""
    fields = [*NAMED[3:], *form.distinguishing(rows, NAMED, floor.DISTINGUISHING_FIELDS)]
    return {id(row): style.short(form.name(row, fields)) for row in rows}


def _chosen_series(series: Mapping[int, str], rows: Sequence[FloorRow]) -> list[str]:
    """Returns the lines with the most points."""
    count: dict[str, int] = defaultdict(int)
    for row in rows:
        count[series[id(row)]] += 1
    return sorted(sorted(count, key=lambda name: (-count[name], name))[:LINES])


def _draw_panel(
    axes: Axes, panel: Panel, rows: Sequence[FloorRow], series: Mapping[int, str], lines: Sequence[str]
) -> None:
    for place, name in enumerate(lines):
        points = sorted((row for row in rows if series[id(row)] == name), key=lambda row: row.ctx)
        if points:
            _draw_line(axes, points, place, name)
    ctxs = sorted({row.ctx for row in rows})
    axes.set_xscale("log", base=2)
    ticks = style.spread(ctxs, 5)
    axes.set_xticks(ticks, [str(ctx) for ctx in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(ctxs[0] / 1.4, ctxs[-1] * 1.4)
    axes.set_title(style.short(" ".join(panel)))
    axes.set_xlabel("ctx (tokens)")
    axes.grid(axis="y", color=style.PALE, linewidth=0.6)
    axes.set_axisbelow(True)


def _draw_line(axes: Axes, points: Sequence[FloorRow], place: int, name: str) -> None:
    ratios = [ratio_of(row) or 0.0 for row in points]
    ends = [interval_of(row) for row in points]
    axes.errorbar(
        [row.ctx for row in points],
        ratios,
        yerr=[
            [ratio - low for ratio, (low, _) in zip(ratios, ends, strict=True)],
            [high - ratio for ratio, (_, high) in zip(ratios, ends, strict=True)],
        ],
        color=style.SERIES[place % len(style.SERIES)],
        marker=style.MARKERS[place % len(style.MARKERS)],
        linestyle=style.LINES[place % len(style.LINES)],
        linewidth=1.2,
        markersize=5,
        capsize=2.5,
        elinewidth=0.8,
        label=name,
    )


def _legend(axes: Axes) -> tuple[list[Any], list[str]]:
    handles, labels = axes.get_legend_handles_labels()
    return list(handles), [str(label) for label in labels]


def _caption(panels: int, all_panels: int, lines: int, all_lines: int) -> str:
    return (
        "Each point is the median over sessions, its bar the confidence interval or range. For a GPU without a "
        "datasheet bandwidth, the fraction is relative to its measured read bandwidth."
        + style.left_out(panels, all_panels, "pairs of GPU and model")
        + style.left_out(lines, all_lines, "kinds of line", "those with the most points in these panels")
    )
