"""Which block reads what: the ranges that the kernel reads (plan.cuh), made once for a layout."""

from __future__ import annotations

from dataclasses import dataclass

from runner.fused.geometry import Geometry

QKV, CACHE, JOIN, OUT, GATE_UP, DOWN, HEAD = PHASES = ("qkv", "cache", "join", "out", "gate_up", "down", "head")


@dataclass(frozen=True)
class Range:
    """A block's items of one phase, [first, stop); `warp` has the first of them, and the next warp the next."""

    first: int
    stop: int
    warp: int


def items_of(geometry: Geometry) -> dict[str, int]:
    """Returns the number of items of each phase, over all blocks. The cache's depend on the position."""
    shape = geometry.shape
    return {
        QKV: geometry.qkv_rows,
        CACHE: 0,
        JOIN: shape.q_width // 2,
        OUT: shape.hidden,
        GATE_UP: shape.intermediate // 2,
        DOWN: shape.hidden,
        HEAD: shape.vocab,
    }


def ranges(geometry: Geometry, block: int) -> dict[str, Range]:
    """Returns a block's ranges. A phase begins with the warp after the one that the phase before it ended with."""
    made, warp = {}, 0
    for phase, count in items_of(geometry).items():
        first, stop = (count * edge // geometry.blocks for edge in (block, block + 1))
        if phase == DOWN:
            first, stop = first * geometry.pieces, stop * geometry.pieces
        made[phase] = Range(first, stop, warp)
        if phase != JOIN:
            warp = (warp + stop - first) % geometry.warps
    return made


def table(geometry: Geometry) -> list[list[list[int]]]:
    """Returns the kernel's table [blocks][phases][4]: first, stop, warp, and nothing."""
    return [
        [[entry.first, entry.stop, entry.warp, 0] for entry in ranges(geometry, block).values()]
        for block in range(geometry.blocks)
    ]
