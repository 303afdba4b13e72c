"""Draw docs/figures/fused.svg: tape, ring and exchanges of the fused kernel, from its plan.

python -m tests.pages.drawing docs/figures
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.patches import ConnectionPatch, FancyArrowPatch, Rectangle

from analysis.figures import style
from analysis.figures.style import Drawn
from analysis.figures.svg import svg
from runner.cell import catalogue
from runner.fused import geometry, launch, tape
from runner.fused.exchanges import EXCHANGES, LAYER
from runner.fused.geometry import Card, Geometry

NAME, MODEL, CTX = "fused", "qwen2.5-7b", 2048
CARD = Card(multiprocessors=132, shared_bytes=232448)  # an H200's
BLOCK, CACHE_ROWS = 5, 2112
WIDE_MB = 0.3  # a narrower part of the tape has no room for its name
PACKET_BYTES = 8
GROUPS = {
    **dict.fromkeys(("query", "key", "value"), ("Wq Wk Wv", style.BLUE)),
    "keys": ("K, V", style.VERMILION),
    "out": ("Wo", style.GREEN),
    **dict.fromkeys(("gate", "up"), ("Wgate Wup", style.ORANGE)),
    "down": ("Wdown", style.SKY),
}
"""Tensor of a copy → label and colour of its part of the tape."""
TITLES = {"qkv": "Wq Wk Wv", "split": "attention,\none split", "join": "join of\nsplits", "out": "Wo"}
TITLES |= {"gate_up": "Wgate\nWup", "down": "Wdown"}


def draw() -> Drawn:
    """Returns the drawing. Lengths on the tape are bytes of the plan; numbers of packets are those of the exchanges."""
    layout = geometry.choose(catalogue.models()[MODEL].shape, CARD)
    copies = list(tape.of_layer(layout, BLOCK, CTX, CACHE_ROWS))
    figure = style.canvas(4.0)
    tape_axes, ring_axes, exchange_axes = figure.subplots(3, 1, height_ratios=(1.15, 1.0, 2.0))
    first = next(n for n, copy in enumerate(copies) if copy.tensor == "keys")
    window = _draw_tape(tape_axes, copies, slice(first, first + layout.slots))
    _draw_ring(ring_axes, layout, copies, first)
    for edge, x in zip(window, (0.0, float(layout.slots)), strict=True):
        line = ConnectionPatch((edge, 0), (x, 1), "data", "data", axesA=tape_axes, axesB=ring_axes)
        line.set(color=style.GREY, linewidth=0.6, linestyle=":")
        figure.add_artist(line)
    _draw_exchanges(exchange_axes, _packets(layout))
    title = f"Tape, ring and exchanges of a layer of {MODEL} at ctx {CTX} on an H200"
    return Drawn(NAME, title, "", figure)


def _draw_tape(axes: Any, copies: list[tape.Copy], window: slice) -> tuple[float, float]:
    """Draws the tape of a block. Returns the bytes between which the ring is, in MB."""
    sizes, at, narrow = [_size(copy) / 1e6 for copy in copies], 0.0, []
    for (label, colour), part in groupby(zip(copies, sizes, strict=True), lambda pair: GROUPS[pair[0].tensor]):
        width = sum(size for _, size in part)
        axes.add_patch(Rectangle((at, 0), width, 1, facecolor=colour, edgecolor="white", linewidth=0.8))
        if width > WIDE_MB:
            axes.text(at + width / 2, 0.5, label, ha="center", va="center", size=8)
        else:
            narrow.append(label)
        at += width
    axes.text(0, 1.08, " · ".join(narrow), ha="left", va="bottom", size=8)
    axes.set(xlim=(0, at), ylim=(0, 1.4))
    axes.set_title(f"Tape: the {at:.2f} MB that one block reads in a layer, in order", size=8.5)
    _without_frame(axes)
    return sum(sizes[: window.start]), sum(sizes[: window.stop])


def _without_frame(axes: Any) -> None:
    axes.set(xticks=[], yticks=[])
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _size(copy: tape.Copy) -> int:
    return copy.size * (2 if copy.tensor in tape.BESIDE else 1)


def _draw_ring(axes: Any, layout: Geometry, copies: list[tape.Copy], first: int) -> None:
    """Draws the slots, and in each the warp that uses it, at the moment when the warps begin with copy `first`."""
    for place in range(layout.slots):
        copy = copies[first + place]
        axes.add_patch(Rectangle((place, 0), 1, 1, facecolor=GROUPS[copy.tensor][1], edgecolor="white", linewidth=0.8))
        axes.text(place + 0.5, 0.5, str(copy.warp), ha="center", va="center", size=8)
    axes.set(xlim=(0, layout.slots), ylim=(0, 1))
    text = f"Ring: {layout.slots} slots when attention begins; numbers are the warps that use them"
    axes.set_xlabel(text, size=8.5, loc="left")
    _without_frame(axes)


def _draw_exchanges(axes: Any, packets: dict[str, int]) -> None:
    """Draws the phases of a layer in order, and between them what blocks send each other."""
    names = [phase.name for phase in LAYER]
    for place, name in enumerate(names):
        axes.add_patch(Rectangle((place + 0.04, 0.5), 0.92, 0.5, facecolor=style.PALE, edgecolor=style.GREY))
        axes.text(place + 0.5, 0.75, TITLES[name], ha="center", va="center", size=7.5)
    for place, (reader, buffers) in enumerate(_buffers_by_reader()):
        to = names.index(reader) + 0.5
        start = to - 1 if names.index(reader) else -0.2
        arrow = FancyArrowPatch(
            (start, 0.48), (to - 0.12, 0.48), connectionstyle="arc3,rad=0.35", arrowstyle="-|>", mutation_scale=8
        )
        arrow.set(color=style.BLACK, linewidth=0.9)
        axes.add_patch(arrow)
        count = sum(packets[buffer] for buffer in buffers)
        text = " + ".join(buffers) + f"\n{count * PACKET_BYTES / 1e3:.0f} kB"
        axes.text((start + to) / 2, 0.22 - 0.2 * (place % 2), text, ha="center", va="top", size=7.5)
    axes.set(xlim=(-0.25, len(names)), ylim=(-0.3, 1.05))
    axes.set_title("Exchanges between blocks through the L2: bytes of packets {value, epoch}", size=8.5)
    _without_frame(axes)


def _packets(layout: Geometry) -> dict[str, int]:
    """Returns the packets of each buffer that are sent at this context, with as many splits as it has."""
    used = {"parts": tape.splits(layout, CTX), "weights": tape.splits(layout, CTX)}
    return {
        name: count * used.get(name, layout.most_splits) // layout.most_splits
        for name, count in launch.exchange_packets(layout).items()
    }


def _buffers_by_reader() -> Iterator[tuple[str, list[str]]]:
    """Yields each phase of a layer that gathers values, and the buffers that it gathers."""
    names = {phase.name for phase in LAYER}
    in_layer = [exchange for exchange in EXCHANGES if exchange.reader in names]
    for reader, exchanges in groupby(in_layer, lambda exchange: exchange.reader):
        yield reader, [exchange.buffer for exchange in exchanges]


def main(folder: Path) -> None:
    """Writes the drawing."""
    with style.applied():
        (folder / f"{NAME}.svg").write_bytes(svg(draw()))
    print(folder / f"{NAME}.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
