"""Rows that are derived from other rows: the ranges of a GPU, and rows of claims and differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.form import titles
from analysis.row import TracedRow
from analysis.table import RowsByTable
from analysis.tables import _ranges, floor
from analysis.tables._floorrow import FloorRow

Names = Mapping[str, str]
"""Names of origins by anchor."""


@dataclass(frozen=True)
class Derived:
    """A derived row. `rows` are (name, anchor) of the rows or origins that it is derived from."""

    anchor: str
    name: str
    rows: tuple[tuple[str, str | None], ...]


def ranges(floors: Sequence[FloorRow]) -> list[Derived]:
    """Returns the ranges below the floor table in their order."""
    names = dict(zip(map(id, floors), titles(floors, floor.NAMED_FIELDS, floor.DISTINGUISHING_FIELDS), strict=True))
    return [
        Derived(
            _ranges.range_anchor(shared),
            f"range of {' '.join(filter(None, shared))}",
            tuple((names[id(row)], row.anchor) for row in rows),
        )
        for shared, rows in _ranges.comparable_cells(floors)
    ]


def traced_rows(rows: RowsByTable) -> Iterator[TracedRow]:
    """Yields the rows of all tables that name their origins."""
    for table_rows in rows.values():
        yield from (row for row in table_rows if isinstance(row, TracedRow))


def derived(rows: RowsByTable, names: Names) -> list[Derived]:
    """Returns the rows with several origins. Rows with the same origins are one entry."""
    found: dict[str, list[TracedRow]] = {}
    for row in traced_rows(rows):
        if row.anchor is not None and len(row.origins) > 1:
            found.setdefault(row.anchor, []).append(row)
    return [
        Derived(
            anchor,
            "; ".join(dict.fromkeys(row.label for row in alike)),
            tuple((names[origin], origin) for origin in alike[0].origins),
        )
        for anchor, alike in found.items()
    ]
