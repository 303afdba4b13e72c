"""The gain of CUDA graphs: ratios with their intervals, and the sessions behind them."""

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

RATIOS, SESSIONS = 30, 3
TITLE = "Gain of a CUDA graph"


@style.applied()
def draw(compared: Sequence[Measured], table: Sequence[ABRow], paper: Sequence[GraphsFigure]) -> Drawn | None:
    """Returns a figure of A/Bs; None without one.

    Above are the ratios with their intervals, by datasheet bandwidth, including the paper's. Below are the sessions of
    both arms; neighbours in a block are joined.
    """
    if not table:
        return None
    rows = style.spread(sorted(table, key=_bandwidth), RATIOS)
    by_id = {measured.manifest.id: measured for measured in compared}
    detailed = sorted(sorted(table, key=lambda row: -row.sessions)[:SESSIONS], key=_bandwidth)
    lines = len(rows) + len(paper)
    figure = style.canvas(9.6, 1.2 + 0.27 * lines + 3.2)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.2 + 0.27 * lines, 3.2]).flat
    names = dict(zip(map(id, table), graphs.names(table), strict=True))
    _draw_ratios(above, sorted([*rows, *paper], key=_bandwidth), names)
    panels = below.subplots(1, max(len(detailed), 2), squeeze=False)[0]
    for axes, row in zip(panels, detailed, strict=False):
        _draw_sessions(axes, by_id[row.ab], row, names[id(row)])
    for axes in panels[len(detailed) :]:
        axes.remove()
    return Drawn("graphs", TITLE, _caption(len(rows), len(table), len(detailed)), figure)


def _bandwidth(row: ABRow | GraphsFigure) -> tuple[float, str, str, int]:
    return (row.bandwidth_gbs or 0.0, row.gpu, row.model, row.ctx)


def _draw_ratios(figure: SubFigure, rows: Sequence[ABRow | GraphsFigure], names: Mapping[int, str]) -> None:
    """Draws the ratios. `names` has the names of our rows by id."""
    axes = figure.subplots()
    for place, row in enumerate(rows):
        is_ours = isinstance(row, ABRow)
        low, high = row.ratio_low, row.ratio_high
        axes.errorbar(
            [row.ratio],
            [place],
            xerr=None if low is None or high is None else [[row.ratio - low], [high - row.ratio]],
            marker=style.MARKERS[0] if is_ours else style.PAPER_MARKER,
            color=style.OURS if is_ours else style.PAPER,
            markerfacecolor=style.OURS if is_ours else "none",
            capsize=4,
            linestyle="none",
        )
        axes.text(1.01, place, _ratio_text(row), transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.axvline(1, color=style.GREY, linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(rows)), [_label(row, names.get(id(row))) for row in rows])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel("step of the first arm / step of the second (right of the line: the second is faster)")
    axes.set_title(f"{TITLE} (circle: here, cross: the paper)")
    axes.grid(axis="x", color=style.PALE, linewidth=0.6)
    axes.set_axisbelow(True)


def _label(row: ABRow | GraphsFigure, name: str | None) -> str:
    peak = f" ({row.bandwidth_gbs:g} GB/s)" if row.bandwidth_gbs else ""
    if isinstance(row, GraphsFigure):
        return style.short(f"{row.gpu} {row.model} {row.ctx}, the paper{peak}")
    return style.short(f"{name}, {row.arm_a} / {row.arm_b}{peak}")


def _ratio_text(row: ABRow | GraphsFigure) -> str:
    low, high = row.ratio_low, row.ratio_high
    interval = "" if low is None else f" [{low:.3f}, {high:.3f}]"
    ours = f"  n = {row.sessions}, {row.verdict or 'no verdict'}" if isinstance(row, ABRow) else ""
    return f"{row.ratio:.3f}×{interval}{ours}"


def _draw_sessions(axes: Axes, measured: Measured, row: ABRow, name: str) -> None:
    steps = {name: session.step_wall_ms for name, session in measured.sessions.items()}
    for block in measured.manifest.complete:
        for first, second in zip(block.sessions[::2], block.sessions[1::2], strict=True):
            pair = sorted((first, second), key=lambda entry: entry.arm)
            ends = [steps[entry.session] for entry in pair]
            axes.plot([0, 1], ends, color=style.GREY, linewidth=0.8, alpha=0.6, zorder=1)
    for place, (arm, marker, colour) in enumerate((("a", "^", style.ORANGE), ("b", "s", style.OURS))):
        values = [session.step_wall_ms for session in measured.arm(arm)]
        axes.plot([place] * len(values), values, marker, color=colour, markersize=5, zorder=2)
        axes.plot(
            [place - 0.18, place + 0.18],
            [row.a_ms if arm == "a" else row.b_ms] * 2,
            color=style.BLACK,
            linewidth=1.6,
            zorder=3,
        )
    axes.set_xticks([0, 1], [style.short(row.arm_a), style.short(row.arm_b)])
    axes.set_xlim(-0.4, 1.4)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("median step of a session (ms)")
    verdict = row.verdict or "no verdict"
    axes.set_title(f"{style.short(name, 44)}\n{row.ratio:.2f}×, {verdict}", fontsize=9)


def _caption(rows: int, all_rows: int, detailed: int) -> str:
    return (
        "Above: ratio and 95 % interval (93.75 % at 5 sessions; the range below 5) of each A/B, the fastest memory on "
        "top. Below: the median step of every session. Neighbours in a block are joined; a black line marks the "
        "centre of each arm."
        + style.left_out(rows, all_rows, "A/Bs")
        + style.left_out(detailed, all_rows, "A/Bs with their sessions", "those with the most sessions")
    )
