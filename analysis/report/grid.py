"""A table of the page: the cells as the Markdown tables have them, with links to where a row comes from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.report import provenance
from analysis.tables import budget, floor, graphs, papercheck, quant
from analysis.tables.form import Column, shown_columns

Row = dict[str, Any]

COUNT = "sessions"
WORDS = "s"
HEADLINES, AFTER = ("floor_ms", "r_floor"), "step_wall_ms_high"
INTERVALS = ("span", "bootstrap_span")


@dataclass(frozen=True)
class Head:
    """`is_number`: the column is sorted by value."""

    title: str
    is_number: bool


@dataclass(frozen=True)
class Cell:
    """`to` is the anchor that the text leads to."""

    text: str
    to: str | None = None


@dataclass(frozen=True)
class Grid:
    """`name` is unique on the page, `title` says what the rows are."""

    name: str
    title: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]


def grid(
    name: str, title: str, rows: Sequence[Row], columns: Sequence[Column], by_number: Collection[str] = ()
) -> Grid:
    """The number of sessions leads to a row's origin, where it has one. Words under the keys `by_number` are sorted by
    the number they begin with."""
    shown = shown_columns(rows, columns)
    heads = tuple(Head(column.title, column.form != WORDS or column.key in by_number) for column in shown)
    return Grid(name, title, heads, tuple(tuple(_cell(row, column) for column in shown) for row in rows))


def _cell(row: Row, column: Column) -> Cell:
    is_ours = column.key == COUNT and ("ab" in row or row.get("cell_key") is not None)
    return Cell(column.text(row), provenance.anchor(row) if is_ours else None)


def of_floor(valid: Sequence[Row]) -> Grid:
    """The ratio follows the step and its interval: a small screen shows no more than the first columns."""
    columns = floor.columns(valid)
    headlines = [one for one in columns if one.key in HEADLINES]
    others = [one for one in columns if one.key not in HEADLINES]
    place = next(number for number, one in enumerate(others) if one.key == AFTER) + 1
    columns = [*others[:place], *headlines, *others[place:]]
    return grid("table-floor", "How far each cell is from what its bytes need", valid, columns)


def of_ranges(table: Sequence[Row]) -> Grid:
    ranges = floor.gpu_ranges(table)
    return grid("table-ranges", "Range and median of each GPU's unquantised cells", ranges, floor.range_columns(ranges))


def of_graphs(table: Sequence[Row]) -> Grid:
    rows = [graphs.worded(row) for row in table]
    return grid(
        "table-graphs", "A/Bs between runtimes: step of a over step of b", rows, graphs.columns(table), INTERVALS
    )


def of_quant(table: Sequence[Row]) -> Grid:
    rows = [row | {"flags": quant.marks(row)} for row in table if row["valid"]]
    return grid(
        "table-quant", "What quantised weights save by their bytes, and by the clock", rows, quant.columns(rows)
    )


def of_budget(table: Sequence[Row]) -> Grid:
    rows = budget.by_terms(table)
    return grid("table-budget", "The terms of each step, in ms", rows, budget.columns(rows))


def of_paper(table: Sequence[Row]) -> Grid:
    return grid("table-paper", "Every figure of the paper beside ours", table, papercheck.COLUMNS)
