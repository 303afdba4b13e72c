"""Tables of the page: columns for either screen, and links to the origin of a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis.form import Column
from analysis.report import grid
from analysis.report.grid import Cell, Head
from analysis.row import Row
from analysis.table import Part


@dataclass(frozen=True)
class Toy(Row):
    gpu: str
    ctx: int | None
    sessions: int
    ms: float
    span: str | None
    note: str | None = None


COLUMNS = (
    Column("gpu", "gpu"),
    Column("ctx", "ctx", "d"),
    Column("n", "sessions", "d"),
    Column("note", "note", optional=True),
    Column("ms", "ms", ".1f"),
    Column("95 %", "span"),
)
ROWS = (Toy("l4", 2048, 3, 1.25, "1–2"), Toy("h200", None, 5, 0.5, None))


def part(**changes: Any) -> Part:
    return Part(**{"name": "toys", "caption": "Toys", "rows": ROWS, "columns": COLUMNS, **changes})


def test_a_small_screen_has_one_column_for_all_that_name_a_row() -> None:
    made = grid.grid(part(), [None, None])
    assert made.heads[:3] == (
        Head("what", False, "small"),
        Head("gpu", False, "wide"),
        Head("ctx", True, "wide"),
    )
    assert [row[0].text for row in made.rows] == ["l4 2048", "h200"]  # what is missing is no name
    assert {head.screen for head in made.heads[3:]} == {None}


def test_what_matters_most_follows_the_name_and_a_column_without_values_is_gone() -> None:
    titles = [head.title for head in grid.grid(part(first=("ms", "span")), [None, None]).heads]
    assert titles == ["what", "gpu", "ctx", "ms", "95 %", "n"]


def test_the_name_and_the_linked_column_lead_to_the_rows_origin() -> None:
    first, second = grid.grid(part(), ["to-l4", None]).rows
    assert [cell.text for cell in first if cell.to == "to-l4"] == ["l4 2048", "3"]
    assert Cell("3", "to-l4") in first
    assert {cell.to for cell in second} == {None}


def test_text_that_begins_with_a_number_is_sorted_as_one_where_the_part_says_so() -> None:
    numbers = {head.title for head in grid.grid(part(by_number=("span",)), [None, None]).heads if head.is_number}
    assert numbers == {"ctx", "n", "ms", "95 %"}
    assert Head("ms", True).classes == "number"
    assert Head("gpu", False, "wide").classes == "wide"
    assert Head("ctx", True, "wide").classes == "number wide"
