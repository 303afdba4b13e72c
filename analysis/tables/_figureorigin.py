"""Origins of our values beside the paper's figures: rows of other tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose

from analysis.abrow import ABRow
from analysis.row import Row
from analysis.table import RowsByTable
from analysis.tables import _ranges
from analysis.tables._floorrow import FloorRow
from analysis.tables._verdict import CheckRow

SAME = 1e-9
"""Relative tolerance for equal numbers from two calculations."""
FLOOR_UNITS = {"r_floor_paper": 1.0, "r_floor": 1.0, "step_wall_ms": 1.0, "peak_bytes": 1e9}
"""Fields of a floor row that the paper check uses, and the unit in which it uses them."""
GRAPHS_UNITS = {"a_ms": 1.0, "b_ms": 1.0, "ratio": 1.0}
"""The same for the graphs table."""


def anchor(figure: CheckRow, tables: RowsByTable) -> str | None:
    """Returns the anchor of the row that our value beside a figure comes from, None if it comes from no row.

    The row is the one of that place with that value. For a figure of a whole GPU it is the range over most of its eager
    cells.
    """
    floors = [row for row in tables.get("floor", ()) if isinstance(row, FloorRow)]
    graphs = [row for row in tables.get("graphs", ()) if isinstance(row, ABRow)]
    if figure.ours is None:
        return None
    return _gpu_anchor(figure, floors) if figure.model is None else _cell_anchor(figure, figure.ours, floors, graphs)


def _gpu_anchor(figure: CheckRow, floors: Sequence[FloorRow]) -> str | None:
    ranges = [row for row in _ranges.gpu_ranges(floors) if (row.gpu, row.runtime) == (figure.gpu, "eager")]
    return max(ranges, key=lambda row: row.cells).anchor if ranges else None


def _cell_anchor(figure: CheckRow, ours: float, floors: Sequence[FloorRow], graphs: Sequence[ABRow]) -> str | None:
    place = (figure.gpu, figure.model, figure.ctx)
    candidates: list[tuple[FloorRow | ABRow, Mapping[str, float]]] = [
        *((row, FLOOR_UNITS) for row in floors if row.valid),
        *((row, GRAPHS_UNITS) for row in graphs),
    ]
    for row, units in candidates:
        if (row.gpu, row.model, row.ctx) == place and _has(row, units, ours):
            return row.anchor
    return None


def _has(row: Row, units: Mapping[str, float], value: float) -> bool:
    numbers: list[tuple[float | None, float]] = [(getattr(row, name), unit) for name, unit in units.items()]
    return any(number is not None and isclose(number / unit, value, rel_tol=SAME) for number, unit in numbers)
