"""Tables of the page: the cells of the Markdown tables, with links to the origin of a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.form import NOTHING, WORDS, Column, shown_columns
from analysis.row import Row
from analysis.table import Part

NAME = "what"
WIDE, SMALL = "wide", "small"
"""Screen classes. A small screen replaces the columns that name a row by one column with all of their words."""


@dataclass(frozen=True)
class Head:
    """A column head. With `is_number` the column is sorted by value. `screen` limits it to one screen class, None to
    none."""

    title: str
    is_number: bool
    screen: str | None = None

    @property
    def classes(self) -> str:
        return " ".join(filter(None, ("number" if self.is_number else None, self.screen)))


@dataclass(frozen=True)
class Cell:
    """A cell. `to` is the anchor that its text links to."""

    text: str
    to: str | None = None


@dataclass(frozen=True)
class Grid:
    """A table of the page. `name` is unique on the page, `title` describes the rows, `nothing` is shown without
    rows."""

    name: str
    title: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]
    nothing: str


def grid(part: Part, origins: Sequence[str | None]) -> Grid:
    """Returns the grid of a table's part, with the anchors of its rows' origins.

    A small screen shows the name of a row and the columns that come first. The name and the linked column link to the
    origin.
    """
    naming_count = next((place for place, column in enumerate(part.columns) if column.key == part.count), 1)
    naming = part.columns[:naming_count]
    columns = [*naming, *shown_columns(part.rows, _by_weight(part.columns[naming_count:], part.first))]
    heads = [Head(NAME, False, SMALL), *(Head(column.title, column.form != WORDS, WIDE) for column in naming)]
    heads += [
        Head(column.title, column.form != WORDS or column.key in part.by_number) for column in columns[naming_count:]
    ]
    rows = tuple(_cells(row, naming, columns, part.linked, to) for row, to in zip(part.rows, origins, strict=True))
    return Grid(f"table-{part.name}", part.caption, tuple(heads), rows, part.nothing)


def _by_weight(columns: Sequence[Column], first: Sequence[str]) -> list[Column]:
    by_key = {column.key: column for column in columns}
    return [*(by_key[key] for key in first), *(column for column in columns if column.key not in first)]


def _cells(
    row: Row, naming: Sequence[Column], columns: Sequence[Column], linked: str, to: str | None
) -> tuple[Cell, ...]:
    name = " ".join(text for column in naming if (text := column.text(row)) != NOTHING)
    cells = (Cell(column.text(row), to if column.key == linked else None) for column in columns)
    return (Cell(name, to), *cells)
