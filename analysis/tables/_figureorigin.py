"""Where our side of the paper's figures comes from: the row of another table."""

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
"""Two values that differ by less, relatively, are one number that came through two calculations."""
OF_FLOORS = {"r_floor_paper": 1.0, "r_floor": 1.0, "step_wall_ms": 1.0, "peak_bytes": 1e9}
"""What the paper check takes from a row of the floor table, and the unit it has it in."""
OF_GRAPHS = {"a_ms": 1.0, "b_ms": 1.0, "ratio": 1.0}
"""The same for the graphs table."""


def anchor(figure: CheckRow, others: RowsByTable) -> str | None:
    """Returns the anchor of what our value beside one of the paper's figures comes from, None where it comes from no
    row.

    The check names the place and the value: it is the row of that place which has the value, and where the figure is of
    a whole GPU, the range of its eager cells with most of them.
    """
    floors = [row for row in others.get("floor", ()) if isinstance(row, FloorRow)]
    graphs = [row for row in others.get("graphs", ()) if isinstance(row, ABRow)]
    if figure.ours is None:
        return None
    return _of_gpu(figure, floors) if figure.model is None else _of_cell(figure, figure.ours, floors, graphs)


def _of_gpu(figure: CheckRow, floors: Sequence[FloorRow]) -> str | None:
    wide = [row for row in _ranges.gpu_ranges(floors) if (row.gpu, row.runtime) == (figure.gpu, "eager")]
    return max(wide, key=lambda row: row.cells).anchor if wide else None


def _of_cell(figure: CheckRow, ours: float, floors: Sequence[FloorRow], graphs: Sequence[ABRow]) -> str | None:
    place = (figure.gpu, figure.model, figure.ctx)
    candidates: list[tuple[FloorRow | ABRow, Mapping[str, float]]] = [
        *((row, OF_FLOORS) for row in floors if row.valid),
        *((row, OF_GRAPHS) for row in graphs),
    ]
    for row, units in candidates:
        if (row.gpu, row.model, row.ctx) == place and _has(row, units, ours):
            return row.anchor
    return None


def _has(row: Row, units: Mapping[str, float], value: float) -> bool:
    numbers: list[tuple[float | None, float]] = [(getattr(row, name), unit) for name, unit in units.items()]
    return any(number is not None and isclose(number / unit, value, rel_tol=SAME) for number, unit in numbers)
