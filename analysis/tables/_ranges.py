"""Range and median of both ratios over comparable cells of a GPU, as the paper reports them."""

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
    """Range and median of both ratios over cells of a GPU that differ only in model and ctx."""

    gpu: str
    """the GPU's name in the catalogue"""
    runtime: str
    """how a step is executed"""
    cache: str
    """kind of KV cache"""
    dtype: str
    """dtype of everything that is not packed"""
    attention: str
    """the implementation of attention"""
    options: str
    """options of runtime and kernel, such as `sdpa:flash`"""
    protocol: str
    """name, warm-up steps and timed steps, such as `paper-5-30`"""
    kernel: str
    """the kernel that multiplies the weights"""
    cells: int
    """number of cells in the range"""
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
    """Returns the anchor of a range, given the values that its cells share."""
    return f"range-{short_hash(list(shared), 10)}"


RANGE_VALUES = (
    Column("cells", "cells", "d", help="number of cells in the range, each counted once; links to their rows"),
    Column("r_floor_paper from", "r_floor_paper_low", ".3f", unit="1", help="lowest r_floor_paper of the cells"),
    Column("to", "r_floor_paper_high", ".3f", unit="1", help="highest value of the preceding ratio"),
    Column("median", "r_floor_paper_median", ".3f", unit="1", help="median of the preceding ratio"),
    Column("r_floor from", "r_floor_low", ".3f", unit="1", help="lowest r_floor of the cells"),
    Column("to", "r_floor_high", ".3f", unit="1", help="highest value of the preceding ratio"),
    Column("median", "r_floor_median", ".3f", unit="1", help="median of the preceding ratio"),
)


def range_columns(ranges: Sequence[RangeRow]) -> list[Column]:
    """Returns the columns for these ranges."""
    return [*cell_columns((*RANGE_NAMED, *distinguishing(ranges, RANGE_NAMED, RANGE_DISTINGUISHING))), *RANGE_VALUES]


def gpu_ranges(table: Sequence[FloorRow]) -> list[RangeRow]:
    """Returns the ranges of each GPU's comparable cells."""
    return [_range_row(shared, cells) for shared, cells in comparable_cells(table)]


def _range_row(shared: Shared, rows: Sequence[FloorRow]) -> RangeRow:
    fields: dict[str, Any] = {
        **dict(zip((*RANGE_NAMED, *RANGE_DISTINGUISHING), shared, strict=True)),
        **_range("r_floor_paper", [row.r_floor_paper for row in rows]),
        **_range("r_floor", [row.r_floor for row in rows]),
    }
    return RangeRow(**fields, cells=len(rows))


def comparable_cells(table: Sequence[FloorRow]) -> list[tuple[Shared, list[FloorRow]]]:
    """Returns the valid unquantised cells that differ only in model and ctx, with the values that they share.

    Each cell counts once, with its newest sessions.
    """
    cells: dict[Shared, dict[tuple[str, int], FloorRow]] = defaultdict(dict)
    for row in table:  # the newest row of a cell comes last
        if row.valid and row.quant == "bf16" and row.r_floor is not None:
            shared = tuple(str(row.value(name)) for name in (*RANGE_NAMED, *RANGE_DISTINGUISHING))
            cells[shared][(row.model, row.ctx)] = row
    return [(shared, list(rows.values())) for shared, rows in sorted(cells.items())]


def _range(name: str, values: Sequence[float | None]) -> dict[str, float]:
    """Returns lowest, highest and median of ratios, none of which is None."""
    known = [value for value in values if value is not None]
    return {f"{name}_low": min(known), f"{name}_high": max(known), f"{name}_median": median(known)}
