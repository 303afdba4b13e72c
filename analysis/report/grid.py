"""A table of the page: the cells as the Markdown tables have them, with links to where a row comes from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.report import derived, provenance
from analysis.tables import budget, floor, graphs, papercheck, quant
from analysis.tables.form import NOTHING, Column, shown_columns

Row = dict[str, Any]

COUNT = "sessions"
WORDS = "s"
NAME = "what"
TO = "to"
"""The key under which a row made of others has the anchor that tells them."""
WIDE, SMALL = "wide", "small"
"""Screens: the columns that name a row fill a small one, which shows one column with all of their words instead."""
WALL = ("step_wall_ms", "step_wall_ms_low", "step_wall_ms_high")
INTERVALS = ("span", "bootstrap_span")
SAVINGS = ("realised_words", "over_eager_words")


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
    """`name` is unique on the page, `title` says what the rows are."""

    name: str
    title: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]


def grid(
    name: str,
    title: str,
    rows: Sequence[Row],
    columns: Sequence[Column],
    named: int,
    first: Sequence[str],
    by_number: Collection[str] = (),
    linked: str = COUNT,
) -> Grid:
    """The first `named` columns say what a row is; the keys in `first` are what it is there for, and come next: a small
    screen shows no more. The name and what is under `linked` lead to a row's origin, where it has one. Words under the
    keys `by_number` are sorted by the number they begin with."""
    naming = columns[:named]
    shown = [*naming, *shown_columns(rows, _by_weight(columns[named:], first))]
    heads = [Head(NAME, False, SMALL), *(Head(one.title, one.form != WORDS, WIDE) for one in naming)]
    heads += [Head(one.title, one.form != WORDS or one.key in by_number) for one in shown[named:]]
    cells = ((_name(row, naming), *(_cell(row, column, linked) for column in shown)) for row in rows)
    return Grid(name, title, tuple(heads), tuple(cells))


def _by_weight(columns: Sequence[Column], first: Sequence[str]) -> list[Column]:
    by_key = {column.key: column for column in columns}
    return [*(by_key[key] for key in first), *(column for column in columns if column.key not in first)]


def _name(row: Row, naming: Sequence[Column]) -> Cell:
    return Cell(" ".join(text for column in naming if (text := column.text(row)) != NOTHING), _origin(row))


def _cell(row: Row, column: Column, linked: str) -> Cell:
    return Cell(column.text(row), _origin(row) if column.key == linked else None)


def _origin(row: Row) -> str | None:
    """The anchor under `TO`, or that of a group or an A/B; None of a row that is neither."""
    if TO in row:
        to: str | None = row[TO]
        return to
    is_ours = "ab" in row or row.get("cell_key") is not None
    return provenance.anchor(row) if is_ours else None


def _before(columns: Sequence[Column], key: str) -> int:
    """How many columns stand before this one."""
    return next(number for number, column in enumerate(columns) if column.key == key)


def of_floor(valid: Sequence[Row]) -> Grid:
    columns = floor.columns(valid)
    return grid(
        "table-floor",
        "How far each cell is from what its bytes need",
        valid,
        columns,
        _before(columns, COUNT),
        ("r_floor", *WALL, "floor_ms"),
    )


def of_ranges(table: Sequence[Row]) -> Grid:
    ranges = floor.gpu_ranges(table)
    columns = floor.range_columns(ranges)
    return grid(
        "table-ranges",
        "Range and median of each GPU's unquantised cells",
        [row | {TO: derived.range_anchor(row)} for row in ranges],
        columns,
        _before(columns, "cells"),
        ("r_floor_low", "r_floor_high", "r_floor_median"),
        linked="cells",
    )


def of_graphs(table: Sequence[Row]) -> Grid:
    columns = graphs.columns(table)
    return grid(
        "table-graphs",
        "A/Bs between runtimes: step of a over step of b",
        [graphs.worded(row) for row in table],
        columns,
        _before(columns, COUNT),
        ("a_ms", "b_ms", "ratio", *INTERVALS, "verdict"),
        INTERVALS,
    )


def of_quant(table: Sequence[Row]) -> Grid:
    rows = [quant.worded(row) for row in table if row["valid"]]
    columns = quant.columns(rows)
    return grid(
        "table-quant",
        "What quantised weights save by their bytes, and by the clock",
        rows,
        columns,
        _before(columns, COUNT),
        ("ideal", "realised_words", *WALL, "over_eager_words", "floor_ms"),
        SAVINGS,
    )


def of_budget(table: Sequence[Row]) -> Grid:
    rows = budget.by_terms(table)
    columns = budget.columns(rows)
    return grid(
        "table-budget",
        "The terms of each step, in ms",
        rows,
        columns,
        _before(columns, COUNT),
        ("step_wall_ms",),
    )


def of_paper(table: Sequence[Row], floors: Sequence[Row], compared: Sequence[Row]) -> Grid:
    """Our value leads to the row of the floor or graphs table that it comes from."""
    return grid(
        "table-paper",
        "Every figure of the paper beside ours",
        [row | {TO: derived.of_figure(row, floors, compared)} for row in table],
        papercheck.COLUMNS,
        _before(papercheck.COLUMNS, "paper"),
        ("paper", "ours", "difference", "verdict"),
        linked="ours",
    )
