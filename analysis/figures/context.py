"""Step time over the context length, one panel per model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from analysis import protocoltitles
from analysis.figures import labels, style
from analysis.figures.style import Drawn
from analysis.tables._floorrow import FloorRow
from runner.counts import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Lines = Mapping[str, Sequence[FloorRow]]
"""The rows of each line, in the order of ctx, by the line's name."""

PANELS, LINES, ACROSS = 9, 8, 3
TITLE = "Step time over context length"


@style.applied()
def draw(table: Sequence[FloorRow]) -> Drawn | None:
    """Returns a line for each GPU, weights, runtime and distinguishing field, with the interval of each point.

    All panels share their axes. A line needs two context lengths; returns None if no cell has them.
    """
    rows = protocoltitles.comparable([row for row in table if row.valid and row.step_wall_ms])
    panels = lines_of(rows)
    if not panels:
        return None
    chosen = style.spread(sorted(panels), PANELS)
    counts = _points([panels[model] for model in chosen])
    names = sorted(sorted(counts, key=lambda name: (-counts[name], name))[:LINES])
    drawn = {model: {name: panels[model][name] for name in names if name in panels[model]} for model in chosen}
    drawn = {model: lines for model, lines in drawn.items() if lines}
    across = min(len(drawn), ACROSS)
    down = -(-len(drawn) // across)
    figure = style.canvas(0.6 + 2.0 * down + 0.16 * -(-len(names) // style.columns(names)))
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axes, (model, lines) in zip(grid.flat, drawn.items(), strict=False):
        _draw_panel(axes, model, lines, names)
    for axes in grid.flat[len(drawn) :]:
        axes.remove()
    for axes in figure.axes[-across:]:
        axes.tick_params(labelbottom=True)  # below it may be no panel
    _finish(figure, [row for lines in drawn.values() for points in lines.values() for row in points])
    caption = _caption(len(drawn), len({row.model for row in rows}), len(panels), len(names), len(counts))
    return Drawn("floor-context", TITLE, caption, figure)


def lines_of(rows: Sequence[FloorRow]) -> dict[str, dict[str, list[FloorRow]]]:
    """Returns for each model the lines with at least two context lengths."""
    names = labels.names(rows, lambda row: f"{row.gpu}, {labels.configuration(row)}", ("model", "ctx"))
    lines: dict[tuple[str, str], list[FloorRow]] = defaultdict(list)
    for row, name in zip(rows, names, strict=True):
        lines[(row.model, name)].append(row)
    panels: dict[str, dict[str, list[FloorRow]]] = defaultdict(dict)
    for (model, name), points in lines.items():
        if len({row.ctx for row in points}) > 1:
            panels[model][name] = sorted(points, key=lambda row: row.ctx)
    return dict(panels)


def _points(panels: Sequence[Lines]) -> dict[str, int]:
    """Returns the number of points of each line over all panels."""
    counts: dict[str, int] = defaultdict(int)
    for lines in panels:
        for name, points in lines.items():
            counts[name] += len(points)
    return counts


def _draw_panel(axes: Axes, model: str, lines: Lines, names: Sequence[str]) -> None:
    """Draws the lines of a model. A line has the same look in every panel."""
    for name, points in lines.items():
        _draw_line(axes, points, names.index(name), name)
    axes.set_title(style.wrapped(model, 16), fontsize=style.SMALL)
    axes.grid(axis="y")


def _draw_line(axes: Axes, rows: Sequence[FloorRow], place: int, name: str) -> None:
    steps = [row.step_wall_ms or 0.0 for row in rows]
    ends = [_ends(row) for row in rows]
    colour, marker = style.look(place)
    axes.errorbar(
        [row.ctx for row in rows],
        steps,
        yerr=[
            [ms - low for ms, (low, _) in zip(steps, ends, strict=True)],
            [high - ms for ms, (_, high) in zip(steps, ends, strict=True)],
        ],
        color=colour,
        marker=marker,
        linestyle=style.LINES[place % len(style.LINES)],
        linewidth=1.2,
        markersize=4.5,
        capsize=2.5,
        elinewidth=0.8,
        label=name,
    )


def _finish(figure: Figure, rows: Sequence[FloorRow]) -> None:
    """Sets the common axes and the legend."""
    first = figure.axes[0]
    ctxs = sorted({row.ctx for row in rows})
    first.set_xscale("log", base=2)
    ticks = style.spread(ctxs, 4)
    first.set_xticks(ticks, [_ctx_text(ctx) for ctx in ticks])
    first.set_xticks([], minor=True)
    first.set_xlim(ctxs[0] / 1.4, ctxs[-1] * 1.4)
    style.logarithmic(first, "y", [ms for row in rows for ms in _ends(row)])
    figure.supxlabel("ctx (tokens)")
    figure.supylabel("ms per step")
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        handles |= {str(name): handle for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    names = {name: style.short(name) for name in sorted(handles)}
    ncols = style.columns([*names.values()])
    figure.legend([handles[name] for name in names], [*names.values()], loc="outside upper left", ncols=ncols)


def _ends(row: FloorRow) -> tuple[float, float]:
    step_ms = row.step_wall_ms or 0.0
    return row.step_wall_ms_low or step_ms, row.step_wall_ms_high or step_ms


def _ctx_text(ctx: int) -> str:
    return f"{ctx // 1024}k" if ctx % 1024 == 0 else str(ctx)


def _caption(panels: int, models: int, with_lines: int, lines: int, all_lines: int) -> str:
    alone = models - with_lines
    without = counted(alone, "model has", "models have")
    single = f" {without} no panel, because only one ctx was measured." if alone else ""
    return (
        "Each point is the median over sessions, with its confidence interval or range as a bar. The vertical axis is "
        "logarithmic and the same in every panel. A configuration with only one measured ctx has no line."
        + single
        + style.left_out(panels, with_lines, "models")
        + style.left_out(lines, all_lines, "kinds of line", "those with the most points in these panels")
    )
