"""The section of a table on the page, made of its declaration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis import registry
from analysis.report import grid
from analysis.report.grid import Grid
from analysis.row import Row
from analysis.table import RowsByTable, Table


@dataclass(frozen=True)
class Section:
    """`anchor` is its id on the page; `above` and `below` are the figures around the grids. `sentences` stand in a list
    with the title `summary`."""

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
    """A column's title, and its help text with the unit."""

    title: str
    meaning: str


@dataclass(frozen=True)
class Words:
    """The columns of a table, those of the tables before it left out."""

    heading: str
    columns: tuple[Word, ...]


def sections(rows: RowsByTable) -> list[Section]:
    """Returns the section of every table."""
    return [_section(table, rows) for table in registry.tables()]


def _section(table: Table[Row], rows: RowsByTable) -> Section:
    own = rows[table.name]
    return Section(
        anchor=table.name,
        heading=table.heading or table.title,
        intro=table.opening(own),
        above=tuple(figure.name for figure in table.figures if not figure.below),
        grids=tuple(_grids(table, own, rows)),
        note=table.remark(own),
        summary=table.summary,
        sentences=tuple(table.statements(own)),
        below=tuple(figure.name for figure in table.figures if figure.below),
    )


def _grids(table: Table[Row], own: Sequence[Row], rows: RowsByTable) -> Iterator[Grid]:
    for part in table.grids(own):
        if part.rows or part.nothing:
            find = table.origin if part.name == table.name else None
            yield grid.grid(part, [row.anchor if find is None else find(row, rows) for row in part.rows])


def glossary() -> list[Words]:
    """Returns what the columns of every table mean; a column that means the same in several stands at the first."""
    known: set[Word] = set()
    found: list[Words] = []
    for table in registry.tables():
        words = [Word(column.title, _meaning(column.help, column.unit)) for column in table.columns if column.help]
        new = tuple(dict.fromkeys(word for word in words if word not in known))
        known |= {*new}
        found += [Words(table.heading or table.title, new)] if new else []
    return found


def _meaning(text: str, unit: str) -> str:
    return text if unit in ("", "1") else f"{text} [{unit}]"
