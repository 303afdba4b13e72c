"""The blocks' shares of all rows: the ranges that the kernel reads (plan.cuh), made once for a layout."""

from __future__ import annotations

from dataclasses import dataclass

from runner.fused.geometry import Geometry

QKV, ROWS, PAIRS, HEAD, OUTPUT_PAIRS = RANGES = ("qkv", "rows", "pairs", "head", "output_pairs")
"""Names of the shares, in the order of `RangeOf` (plan.cuh). `rows` are those of Wo, and of Wdown."""


@dataclass(frozen=True)
class Range:
    """A share: [first, stop)."""

    first: int
    stop: int

    @property
    def count(self) -> int:
        return self.stop - self.first


def counts(geometry: Geometry) -> dict[str, int]:
    """Returns how many rows, or pairs of rows, all blocks share."""
    shape = geometry.shape
    return {
        QKV: geometry.qkv_rows,
        ROWS: shape.hidden,
        PAIRS: shape.intermediate // 2,
        HEAD: shape.vocab,
        OUTPUT_PAIRS: shape.q_width // 2,
    }


def of_block(geometry: Geometry, block: int) -> dict[str, Range]:
    """Returns the ranges of a block: neighbours of nearly the same number."""
    return {
        name: Range(count * block // geometry.blocks, count * (block + 1) // geometry.blocks)
        for name, count in counts(geometry).items()
    }


def table(geometry: Geometry) -> list[list[list[int]]]:
    """Returns the kernel's table [blocks][ranges][2]."""
    return [
        [[ranges[name].first, ranges[name].stop] for name in RANGES]
        for ranges in (of_block(geometry, block) for block in range(geometry.blocks))
    ]
