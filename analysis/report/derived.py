"""Rows that are derived from other rows: the ranges of a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.form import titles
from analysis.tables import _ranges, floor
from analysis.tables._floorrow import FloorRow


@dataclass(frozen=True)
class Range:
    """A range. `rows` are (name, anchor) of the rows that it is derived from."""

    anchor: str
    name: str
    rows: tuple[tuple[str, str | None], ...]


def ranges(floors: Sequence[FloorRow]) -> list[Range]:
    """Returns the ranges below the floor table in their order."""
    names = dict(zip(map(id, floors), titles(floors, floor.NAMED_FIELDS, floor.DISTINGUISHING_FIELDS), strict=True))
    return [
        Range(
            _ranges.range_anchor(shared),
            f"range of {' '.join(filter(None, shared))}",
            tuple((names[id(row)], row.anchor) for row in rows),
        )
        for shared, rows in _ranges.comparable_cells(floors)
    ]
