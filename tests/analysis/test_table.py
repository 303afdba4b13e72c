"""The declaration of a table: what follows from the fields that are given, and from those that are not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.form import Column
from analysis.row import Row
from analysis.table import Part, Table


@dataclass(frozen=True)
class Toy(Row):
    gpu: str


ROWS = (Toy("l4"), Toy("h200"))
COLUMNS = (Column("gpu", "gpu"),)
GRID = "| gpu |\n|---|\n| l4 |\n| h200 |\n"


def table(**declared: Any) -> Table[Toy]:
    return Table(**{"name": "toys", "title": "Toys", "columns": COLUMNS, "rows": lambda _: ROWS, **declared})


def halves(rows: Sequence[Toy]) -> Iterator[Part]:
    yield Part("toys", "The first half", rows[:1], COLUMNS)
    yield Part("more", "The other half", rows[1:], COLUMNS)


def test_a_table_that_declares_no_parts_is_one_grid_of_all_rows() -> None:
    assert table().grids(ROWS) == [Part("toys", "Toys", ROWS, COLUMNS)]
    assert table().markdown(ROWS) == GRID
    assert (table().opening(ROWS), table().remark(ROWS), table().statements(ROWS)) == ("", "", ())


def test_a_further_part_is_found_by_its_name_and_left_out_where_it_has_no_rows() -> None:
    made = table(parts=halves)
    assert made.part("more", ROWS).rows == ROWS[1:]
    assert made.markdown(ROWS) == "| gpu |\n|---|\n| l4 |\n\n| gpu |\n|---|\n| h200 |\n"
    assert made.markdown(ROWS[:1]) == "| gpu |\n|---|\n| l4 |\n"
    assert made.markdown(()) == "| gpu |\n|---|\n"  # the first part stays


def test_a_part_without_rows_says_why_instead_of_a_bare_header() -> None:
    assert Part("toys", "Toys", ROWS, COLUMNS, nothing="No toys.").markdown() == GRID
    assert Part("toys", "Toys", (), COLUMNS, nothing="No toys.").markdown() == "No toys.\n"


def test_below_the_grids_stand_the_note_and_a_line_for_each_statement() -> None:
    def said(rows: Sequence[Toy]) -> list[str]:
        return [f"{row.gpu} is a toy" for row in rows]

    def note(rows: Sequence[Toy]) -> str:
        return f"{len(rows)} toys."

    assert table(sentences=said).markdown(ROWS) == f"{GRID}\n- l4 is a toy\n- h200 is a toy\n"
    assert table(sentences=said, note=note).markdown(ROWS[:0]) == "| gpu |\n|---|\n\n0 toys.\n"
    lines = table(sentences=said, note=note, lines=lambda rows: [f"of {len(rows)}"])
    assert lines.markdown(ROWS) == f"{GRID}\n2 toys.\n\nof 2\n"
    assert lines.statements(ROWS) == ["l4 is a toy", "h200 is a toy"]


def test_the_first_paragraph_may_follow_from_the_rows() -> None:
    assert table(intro="Toys.").opening(ROWS) == "Toys."
    assert table(intro=lambda rows: f"{len(rows)} toys.").opening(ROWS) == "2 toys."


def test_the_sessions_of_origins_follow_only_the_markdown_tables() -> None:
    traced = table(sentences=lambda _: ["one"], traces=lambda _: ["two"])
    assert traced.markdown(ROWS) == f"{GRID}\n- one\n- two\n"
    assert traced.lines_below(ROWS) == ["- one"]


def test_a_parts_columns_are_ordered_by_weight() -> None:
    columns = (Column("gpu", "gpu"), Column("place", "anchor"), Column("sessions", "sessions"), Column("ms", "ms"))
    layout = Part("toys", "Toys", (), columns, first=("ms", "anchor")).layout
    assert [column.title for column in layout.naming] == ["place", "gpu"]
    assert [column.title for column in layout.others] == ["ms", "sessions"]
    assert (layout.unseen, layout.detailed) == ([columns[0]], columns[1])
