"""Range and median of both ratios, as the paper reports them, over the cells of a GPU that are alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from analysis.cellcolumns import cell_columns
from analysis.form import Column, distinguishing
from analysis.row import Row
from analysis.tables._floorrow import FloorRow
from runner.cell.cell import short_hash

RANGE_NAMED, RANGE_DISTINGUISHING = ("gpu", "runtime", "cache"), ("dtype", "attention", "options", "protocol", "kernel")
Shared = tuple[str, ...]
"""The values of `RANGE_NAMED` and `RANGE_DISTINGUISHING`."""


@dataclass(frozen=True)
class RangeRow(Row):
    """Range and median of both ratios over a GPU's cells that differ in model and ctx alone."""

    gpu: str
    """the GPU's name in the catalogue"""
    runtime: str
    """how a step is executed"""
    cache: str
    """kind of KV cache"""
    dtype: str
    """type of what is not packed"""
    attention: str
    """the implementation of attention"""
    options: str
    """options of runtime and kernel, such as `sdpa:flash`"""
    protocol: str
    """name, warm-up steps and timed steps, such as `paper-5-30`"""
    kernel: str
    """the kernel that multiplies the weights"""
    cells: int
    """cells that the range is over"""
    r_floor_paper_low: float
    """ends and median of `r_floor_paper`"""
    r_floor_paper_high: float
    r_floor_paper_median: float
    r_floor_low: float
    """ends and median of `r_floor`"""
    r_floor_high: float
    r_floor_median: float

    @property
    def anchor(self) -> str:
        return range_anchor(tuple(str(self.value(name)) for name in (*RANGE_NAMED, *RANGE_DISTINGUISHING)))


def range_anchor(shared: Shared) -> str:
    """Returns the anchor that a range leads to, given what its cells share."""
    return f"range-{short_hash(list(shared), 10)}"


RANGE_VALUES = (
    Column("cells", "cells", "d", help="cells of a range, each counted once; leads to their rows"),
    Column("r_floor_paper from", "r_floor_paper_low", ".3f", unit="1", help="the lowest r_floor_paper of the cells"),
    Column("to", "r_floor_paper_high", ".3f", unit="1", help="the highest of the ratio named before it"),
    Column("median", "r_floor_paper_median", ".3f", unit="1", help="the median of the ratio named before it"),
    Column("r_floor from", "r_floor_low", ".3f", unit="1", help="the lowest r_floor of the cells"),
    Column("to", "r_floor_high", ".3f", unit="1", help="the highest of the ratio named before it"),
    Column("median", "r_floor_median", ".3f", unit="1", help="the median of the ratio named before it"),
)


def range_columns(ranges: Sequence[RangeRow]) -> list[Column]:
    """Returns the columns for these ranges."""
    return [*cell_columns((*RANGE_NAMED, *distinguishing(ranges, RANGE_NAMED, RANGE_DISTINGUISHING))), *RANGE_VALUES]


def gpu_ranges(table: Sequence[FloorRow]) -> list[RangeRow]:
    """Returns range and median of both ratios, as the paper reports them, of each GPU's cells that are alike."""
    return [_range_row(shared, own) for shared, own in alike(table)]


def _range_row(shared: Shared, own: Sequence[FloorRow]) -> RangeRow:
    fields: dict[str, Any] = {
        **dict(zip((*RANGE_NAMED, *RANGE_DISTINGUISHING), shared, strict=True)),
        **_range("r_floor_paper", [row.r_floor_paper for row in own]),
        **_range("r_floor", [row.r_floor for row in own]),
    }
    return RangeRow(**fields, cells=len(own))


def alike(table: Sequence[FloorRow]) -> list[tuple[Shared, list[FloorRow]]]:
    """Returns the valid unquantised cells of each GPU that differ in model and ctx alone, after what they share. A cell
    counts once, with its newest sessions."""
    cells: dict[Shared, dict[tuple[str, int], FloorRow]] = defaultdict(dict)
    for row in table:  # of alike cells the newest comes last
        if row.valid and row.quant == "bf16" and row.r_floor is not None:
            shared = tuple(str(row.value(name)) for name in (*RANGE_NAMED, *RANGE_DISTINGUISHING))
            cells[shared][(row.model, row.ctx)] = row
    return [(shared, list(own.values())) for shared, own in sorted(cells.items())]


def _range(name: str, values: Sequence[float | None]) -> dict[str, float]:
    """Returns the lowest, the highest and the median of ratios that are all known."""
    known = [value for value in values if value is not None]
    return {f"{name}_low": min(known), f"{name}_high": max(known), f"{name}_median": median(known)}
