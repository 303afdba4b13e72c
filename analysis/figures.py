"""Figures, readable in print and by the colour-blind: markers and line styles tell what colours tell."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from analysis.ab import Measured, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS, PAPER, GREY = "#0072B2", "#D55E00", "#666666"  # Okabe and Ito's blue and vermilion
MARKERS = "os^Dv<>P"
DOTS_PER_INCH = 150


def graphs_figure(measured: Sequence[Measured], table: Sequence[Row], paper: Sequence[Mapping[str, Any]]) -> Figure:
    """Left: each A/B's ratio with its interval against the GPU's datasheet bandwidth, the paper's beside ours. Right:
    the sessions of both arms, those next to each other in a block joined."""
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(5.2 + 2.9 * len(measured), 4.4), layout="constrained")
    left, *right = figure.subplots(1, 1 + len(measured), width_ratios=[1.5, *[1.0] * len(measured)])
    _ratios(left, table, paper)
    for axes, one, each in zip(right, measured, table, strict=True):
        _sessions(axes, one, each)
    return figure


def _ratios(axes: Axes, table: Sequence[Row], paper: Sequence[Mapping[str, Any]]) -> None:
    for index, row in enumerate(table):
        label = f"{row['gpu']} {row['model']} {row['ctx']}, N = {row['sessions']}"
        shift = 1.07**index  # points of one GPU beside each other
        _point(axes, row, shift, MARKERS[index % len(MARKERS)], OURS, label)
    for index, reference in enumerate(paper):
        label = f"paper: {reference['gpu']} {reference['model']} {reference['ctx']}"
        _point(axes, reference, 1.0, MARKERS[-1 - index % len(MARKERS)], PAPER, label, hollow=True)
    axes.axhline(1, color=GREY, linewidth=0.8, linestyle="--")
    axes.set_xscale("log")
    axes.set_xlabel("datasheet bandwidth (GB/s)")
    axes.set_ylabel("step without / with CUDA graph")
    axes.set_title("What a CUDA graph is worth", loc="left", fontsize=10)
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:g}"[0] in "235" else "")
    axes.tick_params(which="both", labelsize=8)


def _point(
    axes: Axes, row: Mapping[str, Any], shift: float, marker: str, colour: str, label: str, hollow: bool = False
) -> None:
    if row["bandwidth_gbs"] is None:
        return
    ratio, low, high = row["ratio"], row["ratio_low"], row["ratio_high"]
    errors = None if low is None else [[ratio - low], [high - ratio]]
    axes.errorbar(
        [row["bandwidth_gbs"] * shift],
        [ratio],
        yerr=errors,
        marker=marker,
        color=colour,
        markerfacecolor="none" if hollow else colour,
        capsize=4,
        linestyle="none",
        label=label,
    )


def _sessions(axes: Axes, measured: Measured, row: Row) -> None:
    steps = {session: found["step_wall_ms"] for session, found in measured.sessions.items()}
    for block in measured.manifest.complete:
        for first, second in zip(block.sessions[::2], block.sessions[1::2], strict=True):
            pair = sorted((first, second), key=lambda entry: entry.arm)
            axes.plot([0, 1], [steps[entry.session] for entry in pair], color=GREY, linewidth=0.8, alpha=0.6, zorder=1)
    for place, (name, marker, colour) in enumerate((("a", "o", PAPER), ("b", "s", OURS))):
        values = [found["step_wall_ms"] for found in measured.arm(name)]
        axes.plot([place] * len(values), values, marker, color=colour, markersize=5, zorder=2)
        axes.plot([place - 0.18, place + 0.18], [row[f"{name}_ms"]] * 2, color="black", linewidth=1.6, zorder=3)
    axes.set_xticks([0, 1], [row["arm_a"], row["arm_b"]])
    axes.set_xlim(-0.4, 1.4)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("median step of a session (ms)")
    title = f"{row['gpu']} {row['model']} ctx {row['ctx']}\n{row['ratio']:.2f}×, {row['verdict'] or 'no verdict'}"
    axes.set_title(title, loc="left", fontsize=9)
    axes.tick_params(labelsize=8)


def quant_figure(table: Sequence[Mapping[str, Any]]) -> Figure:
    """Time saved against bytes saved, each as a share of the unquantised step's; on the line all of it is realised."""
    from matplotlib.figure import Figure as Canvas

    rows = [row for row in table if row["valid"] and row["quant"] != "bf16" and row.get("realised")]
    rows.sort(key=lambda row: row["realised"])
    figure = Canvas(figsize=(9.2, max(4.4, 0.22 * len(rows))), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--")
    axes.text(0.3, 0.33, "all of it realised", color=GREY, fontsize=8, rotation=32, ha="center")
    axes.axhline(0, color=GREY, linewidth=0.8)
    models = sorted({row["model"] for row in rows})
    for row in rows:
        paper = row["source"] == "paper"
        axes.plot(
            [1 - 1 / row["ideal"]],
            [1 - 1 / row["realised"]],
            MARKERS[models.index(row["model"]) % len(MARKERS)],
            color=PAPER if paper else OURS,
            markerfacecolor="none" if paper else None,
        )
    _labels(axes, rows)
    axes.set_xlim(0, 1)
    axes.set_xlabel("bytes saved (share of the unquantised step's)")
    axes.set_ylabel("time saved (share of the unquantised step's)")
    axes.set_title("What quantised weights save", loc="left", fontsize=10)
    axes.tick_params(labelsize=8)
    return figure


def _labels(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """A name for each point, beside the axes and evenly spaced, with a line that leads to it."""
    low, high = axes.get_ylim()
    for index, row in enumerate(rows):
        paper = row["source"] == "paper"
        own = row.get("runtime") or "the paper's"
        axes.annotate(
            f"{row['realised']:.2f}×  {row['gpu']} {row['model']} {row['quant']} {row['kernel']}, {own}",
            xy=(1 - 1 / row["ideal"], 1 - 1 / row["realised"]),
            xytext=(1.03, low + (high - low) * (index + 0.5) / len(rows)),
            textcoords=("axes fraction", "data"),
            va="center",
            fontsize=7.5,
            color=PAPER if paper else "black",
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkB": 4, "relpos": (0, 0.5)},
            annotation_clip=False,
        )


def png(figure: Figure) -> bytes:
    """The figure as a PNG; the same figure gives the same bytes."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return out.getvalue()
