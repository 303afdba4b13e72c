"""Rows made of other rows, and which: the ranges of a GPU, and our side of the paper's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

from analysis.report.provenance import anchor
from analysis.tables import floor
from analysis.tables.form import titles
from runner.cell.cell import short_hash

Row = dict[str, Any]

SAME = 1e-9
"""Two values that differ by less, relatively, are one number that came through two calculations."""
OF_FLOORS = {"r_floor_paper": 1.0, "r_floor": 1.0, "step_wall_ms": 1.0, "peak_bytes": 1e9}
"""What the paper check takes from a row of the floor table, and the unit it has it in."""
OF_GRAPHS = {"a_ms": 1.0, "b_ms": 1.0, "ratio": 1.0}
"""The same of the graphs table."""


@dataclass(frozen=True)
class Range:
    """A row of the ranges; `rows` are (name, anchor) of those that it is made of."""

    anchor: str
    name: str
    rows: tuple[tuple[str, str], ...]


def ranges(floors: Sequence[Row]) -> list[Range]:
    """Of the ranges below the floor table, in their order."""
    names = dict(zip(map(id, floors), titles(floors, floor.NAMED_FIELDS, floor.TELLING_FIELDS), strict=True))
    return [
        Range(
            _range_anchor(shared),
            f"range of {' '.join(filter(None, shared))}",
            tuple((names[id(row)], anchor(row)) for row in own),
        )
        for shared, own in floor.alike(floors)
    ]


def range_anchor(row: Mapping[str, Any]) -> str:
    """What links a row of the ranges to the rows that it is made of."""
    return _range_anchor([row[name] for name in (*floor.RANGE_NAMED, *floor.RANGE_TELLING)])


def _range_anchor(shared: Sequence[str]) -> str:
    return f"range-{short_hash(list(shared), 10)}"


def of_figure(figure: Mapping[str, Any], floors: Sequence[Row], graphs: Sequence[Row]) -> str | None:
    """The anchor of what our value beside one of the paper's figures comes from, None where it comes from no row. The
    check names the place and the value: it is the row of that place which has the value, and where the figure is of
    a whole GPU, the range of its eager cells with most of them."""
    if figure["ours"] is None:
        return None
    if figure["model"] is None:
        wide = [row for row in floor.gpu_ranges(floors) if (row["gpu"], row["runtime"]) == (figure["gpu"], "eager")]
        return range_anchor(max(wide, key=lambda row: row["cells"])) if wide else None
    candidates = [*((row, OF_FLOORS) for row in floors if row["valid"]), *((row, OF_GRAPHS) for row in graphs)]
    fitting = (row for row, units in candidates if _is_place(row, figure) and _has(row, units, figure["ours"]))
    return next(map(anchor, fitting), None)


def _is_place(row: Mapping[str, Any], figure: Mapping[str, Any]) -> bool:
    return all(row[name] == figure[name] for name in ("gpu", "model", "ctx"))


def _has(row: Mapping[str, Any], units: Mapping[str, float], value: float) -> bool:
    found = (row[name] / unit for name, unit in units.items() if row[name] is not None)
    return any(isclose(one, value, rel_tol=SAME) for one in found)
