"""The gain of a runtime over another: ratios with their intervals against 1, and the sessions behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from analysis.ab import Measured
from analysis.abrow import ABRow
from analysis.figures import style
from analysis.figures.style import Drawn
from analysis.paper import GraphsFigure
from analysis.tables import graphs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

RATIOS, SESSIONS = 30, 2
NAME_WIDTH = 30
MARGIN, NARROWEST = 0.06, 0.005
"""Margin beside the ratios as a fraction of their range, and the least one."""
TITLE = "Gain of a runtime over another"


@style.applied()
def draw(compared: Sequence[Measured], table: Sequence[ABRow], paper: Sequence[GraphsFigure]) -> Drawn | None:
    """Returns a figure of A/Bs; None without one.

    Above are the ratios with their intervals, the largest first, including the paper's. Below are the sessions of both
    arms; neighbours in a block are joined.
    """
    if not table:
        return None
    rows = style.spread(sorted(table, key=lambda row: -row.ratio), RATIOS)
    by_id = {measured.manifest.id: measured for measured in compared}
    detailed = sorted(table, key=lambda row: -row.sessions)[:SESSIONS]
    heights = [0.8 + 0.32 * (len(rows) + len(paper)), 2.6]
    figure = style.canvas(sum(heights))
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=heights).flat
    names = dict(zip(map(id, table), graphs.names(table), strict=True))
    _draw_ratios(above, sorted([*rows, *paper], key=lambda row: -row.ratio), names)
    for axes, row in zip(below.subplots(1, max(len(detailed), 2), squeeze=False)[0], detailed, strict=False):
        _draw_sessions(axes, by_id[row.ab], row, names[id(row)])
    for axes in below.axes[len(detailed) :]:
        axes.remove()
    return Drawn("graphs", TITLE, _caption(len(rows), len(table), len(detailed)), figure)


def _draw_ratios(figure: SubFigure, rows: Sequence[ABRow | GraphsFigure], names: Mapping[int, str]) -> None:
    """Draws the ratios. `names` has the names of our rows by id."""
    axes = figure.subplots()
    for place, row in enumerate(rows):
        is_ours = isinstance(row, ABRow)
        low, high = ends(row)
        axes.errorbar(
            [row.ratio],
            [place],
            xerr=[[row.ratio - low], [high - row.ratio]],
            marker=style.MARKERS[0] if is_ours else style.PAPER_MARKER,
            color=style.OURS if is_ours else style.PAPER,
            capsize=4,
            linestyle="none",
        )
        axes.text(1.02, place, ratio_text(row), transform=axes.get_yaxis_transform(), va="center", fontsize=style.SMALL)
    axes.axvline(1, color=style.GREY, linewidth=0.8, linestyle="--")
    labels = [_label(row, names.get(id(row))) for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=style.SMALL)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    reached = [1.0, *(value for row in rows for value in ends(row))]
    margin = max(MARGIN * (max(reached) - min(reached)), NARROWEST)
    axes.set_xlim(min(reached) - margin, max(reached) + margin)
    axes.set_xlabel("step of the first arm / second arm")
    axes.set_title("Right of 1, the second arm is faster")
    axes.grid(axis="x")


def ends(row: ABRow | GraphsFigure) -> tuple[float, float]:
    """Returns the ends of the ratio's interval; the ratio itself where the paper states none."""
    low, high = row.ratio_low, row.ratio_high
    return (row.ratio, row.ratio) if low is None or high is None else (low, high)


def _label(row: ABRow | GraphsFigure, name: str | None) -> str:
    if isinstance(row, GraphsFigure):
        lines = (f"{row.gpu} {row.model} {row.ctx}", "eager / graph, the paper")
    else:
        lines = (name or "", f"{row.arm_a} / {row.arm_b}, n = {row.sessions}")
    return "\n".join(style.short(line, NAME_WIDTH) for line in lines)


def ratio_text(row: ABRow | GraphsFigure) -> str:
    """Returns the ratio with our verdict, and its interval in a second line."""
    verdict = f" {row.verdict or 'no verdict'}" if isinstance(row, ABRow) else ""
    interval = "" if row.ratio_low is None else f"\n[{row.ratio_low:.3f}, {row.ratio_high:.3f}]"
    return f"{row.ratio:.3f}×{verdict}{interval}"


def _draw_sessions(axes: Axes, measured: Measured, row: ABRow, name: str) -> None:
    steps = {name: session.step_wall_ms for name, session in measured.sessions.items()}
    for block in measured.manifest.complete:
        for first, second in zip(block.sessions[::2], block.sessions[1::2], strict=True):
            pair = sorted((first, second), key=lambda entry: entry.arm)
            both = [steps[entry.session] for entry in pair]
            axes.plot([0, 1], both, color=style.GREY, linewidth=0.8, alpha=0.6, zorder=1)
    for place, (arm, marker, colour) in enumerate((("a", "^", style.ORANGE), ("b", "s", style.OURS))):
        values = [session.step_wall_ms for session in measured.arm(arm)]
        axes.plot([place] * len(values), values, marker, color=colour, markersize=4.5, zorder=2)
        axes.plot(
            [place - 0.18, place + 0.18],
            [row.a_ms if arm == "a" else row.b_ms] * 2,
            color=style.BLACK,
            linewidth=1.6,
            zorder=3,
        )
    axes.set_xticks([0, 1], [style.short(arm, 14) for arm in (row.arm_a, row.arm_b)])
    axes.set_xlim(-0.4, 1.4)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("ms per step, by session")
    axes.set_title(style.wrapped(name, 26), fontsize=style.SMALL)


def _caption(rows: int, all_rows: int, detailed: int) -> str:
    return (
        "Above: ratio and 95 % interval (93.75 % at 5 sessions; the range below 5) of each A/B, the largest ratio on "
        "top; blue circles are ours, orange crosses the paper's. Below: the median step of "
        "every session. Neighbours in a block are joined; a black line marks the centre of each arm."
        + style.left_out(rows, all_rows, "A/Bs", "evenly spread over the ratios")
        + style.left_out(detailed, all_rows, "A/Bs with their sessions", "those with the most sessions")
    )
