"""Tables of the page: columns for either screen, and links to the origin of a row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from analysis.form import Column
from analysis.report import grid
from analysis.report.grid import Cell, Head
from analysis.row import Row
from analysis.table import SHOWN, Part, Typed


@dataclass(frozen=True)
class Toy(Row):
    gpu: str
    ctx: int | None
    sessions: int
    ms: float
    span: str | None
    note: str | None = None

    @property
    def anchor(self) -> str:
        return f"row-{self.gpu}"


@dataclass(frozen=True)
class Plain(Row):
    """A row without an anchor."""


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
        Head("gpu", False, "wide", key="gpu"),
        Head("ctx", True, "wide", key="ctx"),
    )
    assert [row.cells[0].text for row in made.rows] == ["l4 2048", "h200"]  # what is missing is no name
    assert {head.screen for head in made.heads[3:]} == {None}


def test_what_matters_most_follows_the_name_and_a_column_without_values_is_gone() -> None:
    titles = [head.title for head in grid.grid(part(first=("gpu", "ms", "span")), [None, None]).heads]
    assert titles == ["what", "gpu", "ctx", "ms", "95 %", "n"]


def test_the_columns_that_do_not_come_first_are_shown_on_demand() -> None:
    made = grid.grid(part(first=("gpu", "ms", "span")), [None, None])
    assert [head.title for head in made.heads if head.on_demand] == ["ctx", "n"]
    assert {head.title for head in made.heads if "more" in head.classes} == {"ctx", "n"}
    assert (made.is_cut, made.column_count) == (True, 5)  # without the small screen's
    assert not grid.grid(part(), [None, None]).is_cut


def test_without_a_choice_the_first_ten_columns_are_shown() -> None:
    columns = (*COLUMNS, *(Column(f"more {place}", "ms", ".1f") for place in range(7)))
    many = [
        Column(column.title, column.key if place < 6 else f"ms{place}", ".1f") for place, column in enumerate(columns)
    ]
    made = grid.grid(part(columns=many, rows=()), [])
    assert sum(not head.on_demand for head in made.heads if head.screen != "small") == SHOWN == 10


def test_a_column_that_names_the_row_on_demand_is_a_detail_of_the_last_name_that_is_shown() -> None:
    first, second = grid.grid(part(first=("gpu", "ms")), [None, None]).rows
    assert [cell.detail for cell in first.cells] == ["", "2048", "", "", "", ""]
    assert {cell.detail for cell in second.cells} == {""}  # a missing value is no detail
    assert {cell.detail for cell in grid.grid(part(), [None, None]).rows[0].cells} == {""}


def test_a_value_that_few_rows_have_is_below_another_while_its_column_is_hidden() -> None:
    shown = {"first": ("gpu", "ms"), "below": {"ms": ("note", "span")}}
    first, second = grid.grid(part(**shown), [None, None]).rows
    assert [cell.detail for cell in first.cells] == ["", "2048", "", "95 % 1–2", "", ""]
    assert {cell.detail for cell in second.cells} == {""}  # a missing value is no detail
    noted = [replace(ROWS[0], note="new")]
    (line,) = grid.grid(part(**shown, rows=noted), [None]).rows
    assert line.cells[3].detail == "note new, 95 % 1–2"


def test_a_row_has_an_id_on_the_page_and_a_value_for_each_filter() -> None:
    first, second = grid.grid(
        part(filters={"gpu": ("gpu",), "quant": ("quant",), "ctx": ("ctx", "sessions")}), [None] * 2
    ).rows
    assert (first.anchor, first.filters) == ("toys-row-l4", {"gpu": ("l4",), "ctx": ("2048", "3")})
    assert second.filters == {"gpu": ("h200",), "ctx": ("5",)}
    assert grid.row_anchor("other", ROWS[0]) == "other-row-l4"
    assert grid.row_anchor("other", Plain()) is None


def test_of_rows_with_one_origin_the_first_has_the_id_since_ids_are_unique() -> None:
    twice = replace(part(), rows=[ROWS[0], ROWS[0]])
    assert [row.anchor for row in grid.grid(twice, [None, None]).rows] == ["toys-row-l4", None]


def test_the_name_and_the_linked_column_lead_to_the_rows_origin() -> None:
    first, second = grid.grid(part(), ["to-l4", None]).rows
    assert [cell.text for cell in first.cells if cell.to == "to-l4"] == ["l4 2048", "3"]
    assert Cell("3", "to-l4") in first.cells
    assert {cell.to for cell in second.cells} == {None}
    (linked, _) = grid.grid(part(linked=("ms", "span")), ["to-l4", None]).rows
    assert [cell.text for cell in linked.cells if cell.to == "to-l4"] == ["l4 2048", "1.2", "1–2"]


def test_text_that_begins_with_a_number_is_sorted_as_one_where_the_part_says_so() -> None:
    numbers = {head.title for head in grid.grid(part(by_number=("span",)), [None, None]).heads if head.is_number}
    assert numbers == {"ctx", "n", "ms", "95 %"}
    assert Head("ms", True).classes == "number"
    assert Head("gpu", False, "wide").classes == "wide"
    assert Head("ctx", True, "wide").classes == "wide number"
    assert Head("95 %", True, None, True, True).classes == "number more words"


def test_a_number_to_type_comes_with_the_data_of_each_row() -> None:
    typed = Typed("Deadline", "ms", 50.0, "all", lambda row: f"{row.gpu}!")
    made = grid.grid(part(typed=typed), [None, None])
    assert made.typed == typed
    assert [line.typed for line in made.rows] == ["l4!", "h200!"]
    assert [line.typed for line in grid.grid(part(), [None, None]).rows] == ["", ""]
