"""A table of the page: the cells as the Markdown tables have them, with links to where a row comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.form import NOTHING, WORDS, Column, shown_columns
from analysis.row import Row
from analysis.table import Part

NAME = "what"
WIDE, SMALL = "wide", "small"
"""Screens: the columns that name a row fill a small one, which shows one column with all of their words instead."""


@dataclass(frozen=True)
class Head:
    """`is_number`: the column is sorted by value. `screen` is the one that shows it, None for any."""

    title: str
    is_number: bool
    screen: str | None = None

    @property
    def classes(self) -> str:
        return " ".join(filter(None, ("number" if self.is_number else None, self.screen)))


@dataclass(frozen=True)
class Cell:
    """`to` is the anchor that the text leads to."""

    text: str
    to: str | None = None


@dataclass(frozen=True)
class Grid:
    """`name` is unique on the page, `title` says what the rows are, `nothing` that there are none."""

    name: str
    title: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]
    nothing: str


def grid(part: Part, origins: Sequence[str | None]) -> Grid:
    """Returns the grid of a table's part. A small screen shows the name of a row and the columns that come first. The
    name and the linked column lead to the anchor of a row's origin, where it has one."""
    named = next((place for place, column in enumerate(part.columns) if column.key == part.count), 1)
    naming = part.columns[:named]
    shown = [*naming, *shown_columns(part.rows, _by_weight(part.columns[named:], part.first))]
    heads = [Head(NAME, False, SMALL), *(Head(one.title, one.form != WORDS, WIDE) for one in naming)]
    heads += [Head(one.title, one.form != WORDS or one.key in part.by_number) for one in shown[named:]]
    rows = tuple(_cells(row, naming, shown, part.linked, to) for row, to in zip(part.rows, origins, strict=True))
    return Grid(f"table-{part.name}", part.caption, tuple(heads), rows, part.nothing)


def _by_weight(columns: Sequence[Column], first: Sequence[str]) -> list[Column]:
    by_key = {column.key: column for column in columns}
    return [*(by_key[key] for key in first), *(column for column in columns if column.key not in first)]


def _cells(
    row: Row, naming: Sequence[Column], shown: Sequence[Column], linked: str, to: str | None
) -> tuple[Cell, ...]:
    name = " ".join(text for column in naming if (text := column.text(row)) != NOTHING)
    cells = (Cell(column.text(row), to if column.key == linked else None) for column in shown)
    return (Cell(name, to), *cells)
