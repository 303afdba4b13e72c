"""The warps' shares of all rows: the ranges that the kernel reads (plan.cuh), made once for a layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runner.fused.geometry import Geometry

QKV, OUT, PAIRS, DOWN, HEAD, OUTPUT_PAIRS = RANGES = ("qkv", "out", "pairs", "down", "head", "output_pairs")
"""Names of the shares, in the order of `RangeOf` (plan.cuh)."""


@dataclass(frozen=True)
class Range:
    """A share: [first, stop)."""

    first: int
    stop: int

    def cut(self, shares: int, start: int) -> Iterator[Range]:
        """Yields contiguous shares of nearly the same size. The larger ones begin with share `start`, and wrap."""
        size, larger = divmod(self.stop - self.first, shares)
        first = self.first
        for share in range(shares):
            stop = first + size + ((share - start) % shares < larger)
            yield Range(first, stop)
            first = stop


def counts(geometry: Geometry) -> dict[str, int]:
    """Returns how many rows, or pairs of rows, all blocks share."""
    shape = geometry.shape
    return {
        QKV: geometry.qkv_rows,
        OUT: shape.hidden,
        PAIRS: shape.intermediate // 2,
        DOWN: shape.hidden,
        HEAD: shape.vocab,
        OUTPUT_PAIRS: shape.q_width // 2,
    }


def of_block(geometry: Geometry, block: int) -> list[dict[str, Range]]:
    """Returns the ranges of each warp of a block.

    The warps that have one row more than others take turns from phase to phase. Wdown's rows are shared by groups of
    `pieces` warps, each of which has one piece of the same rows.
    """
    warps: list[dict[str, Range]] = [{} for _ in range(geometry.warps)]
    turn = 0
    for name, count in counts(geometry).items():
        whole = Range(count * block // geometry.blocks, count * (block + 1) // geometry.blocks)
        together = geometry.pieces if name == DOWN else 1
        groups = geometry.warps // together
        for group, share in enumerate(whole.cut(groups, turn % groups)):
            for warp in range(group * together, (group + 1) * together):
                warps[warp][name] = share
        turn += whole.stop - whole.first
    return warps


def table(geometry: Geometry) -> list[list[list[list[int]]]]:
    """Returns the kernel's table [blocks][warps][ranges][2]."""
    return [
        [[[ranges[name].first, ranges[name].stop] for name in RANGES] for ranges in of_block(geometry, block)]
        for block in range(geometry.blocks)
    ]
