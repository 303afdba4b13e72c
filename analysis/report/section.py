"""The section of a table on the page, made from the table's declaration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from analysis import registry
from analysis.report import grid
from analysis.report.grid import Grid
from analysis.row import Row
from analysis.table import FILTERS, RowsByTable, Table


@dataclass(frozen=True)
class Section:
    """A section of the page. `anchor` is its id, `above` and `below` are the figures around the grids.

    `sentences` are a list with the title `summary`.
    """

    anchor: str
    heading: str
    intro: str
    above: tuple[str, ...]
    grids: tuple[Grid, ...]
    note: str
    summary: str
    sentences: tuple[str, ...]
    below: tuple[str, ...]


@dataclass(frozen=True)
class Word:
    """The title of a column, with its help text and unit."""

    title: str
    meaning: str


@dataclass(frozen=True)
class Words:
    """The columns of a table that no earlier table has."""

    heading: str
    columns: tuple[Word, ...]


def sections(rows: RowsByTable) -> list[Section]:
    """Returns the section of every table."""
    return [_section(table, rows) for table in registry.tables()]


def _section(table: Table[Row], rows: RowsByTable) -> Section:
    table_rows = rows[table.name]
    return Section(
        anchor=table.name,
        heading=table.heading or table.title,
        intro=table.opening(table_rows),
        above=tuple(figure.name for figure in table.figures if not figure.below),
        grids=tuple(_grids(table, table_rows, rows)),
        note=table.remark(table_rows),
        summary=table.summary,
        sentences=tuple(table.statements(table_rows)),
        below=tuple(figure.name for figure in table.figures if figure.below),
    )


def _grids(table: Table[Row], table_rows: Sequence[Row], rows: RowsByTable) -> Iterator[Grid]:
    for part in table.grids(table_rows):
        if part.rows or part.nothing:
            find = table.origin if part.name == table.name else None
            yield grid.grid(part, [row.anchor if find is None else find(row, rows) for row in part.rows])


def filter_boxes(sections: Iterable[Section]) -> dict[str, list[str]]:
    """Returns the values that each filter of the page offers. A filter with a single value is left out."""
    values: dict[str, set[str]] = {name: set() for name in FILTERS}
    for line in (line for each in sections for made in each.grids for line in made.rows):
        for name, found in line.filters.items():
            values.setdefault(name, set()).update(found)
    return {name: sorted(found) for name, found in values.items() if len(found) > 1}


def glossary() -> list[Words]:
    """Returns the meanings of the columns of every table. A column with the same meaning is listed only once."""
    earlier: set[Word] = set()
    groups: list[Words] = []
    for table in registry.tables():
        words = [Word(column.title, _meaning(column.help, column.unit)) for column in table.columns if column.help]
        new = tuple(dict.fromkeys(word for word in words if word not in earlier))
        earlier |= {*new}
        groups += [Words(table.heading or table.title, new)] if new else []
    return groups


def _meaning(text: str, unit: str) -> str:
    return text if unit in ("", "1") else f"{text} [{unit}]"
