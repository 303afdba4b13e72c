"""Tables at a terminal."""

from __future__ import annotations

from dataclasses import make_dataclass

import pytest

from analysis import terminaltable
from analysis.form import NOTHING, Column
from analysis.row import Row
from analysis.terminaltable import Texts

COLUMNS = (
    Texts("name", ["a graph", "b"]),
    Texts("ms", ["10.25", "9.5"], is_number=True),
    Texts("floor ms", ["8", "8"], is_number=True),
    Texts("none", [NOTHING, ""]),
    Texts("limit", ["memory", "host-bound"]),
)


def row(**values: object) -> Row:
    return make_dataclass("Some", values, bases=(Row,), frozen=True)(**values)


def test_each_row_is_one_line_and_a_column_without_a_value_is_left_out() -> None:
    assert terminaltable.lines(COLUMNS, ()) == [
        "name        ms  floor ms  limit",
        "a graph  10.25         8  memory",
        "b          9.5         8  host-bound",
    ]


@pytest.mark.parametrize(("width", "has_floor"), [(36, True), (35, False)])
def test_a_narrow_terminal_does_without_some_columns(width: int, has_floor: bool) -> None:
    # 7 + 2 + 5 + 2 + 8 + 2 + 10 = 36 columns, 26 without the floor
    head, *below = terminaltable.lines(COLUMNS, ("floor ms", "ms"), width)
    assert ("floor ms" in head) == has_floor
    assert "limit" in head
    assert " ms " in head
    assert max(map(len, below)) == (36 if has_floor else 26)


def test_a_last_column_of_numbers_ends_at_the_right() -> None:
    assert terminaltable.lines(COLUMNS[:2], ()) == ["name        ms", "a graph  10.25", "b          9.5"]


def test_numbers_are_told_by_their_format_or_unit() -> None:
    rows = [row(gpu="l4", ctx=2048, range="1 to 2")]
    columns = (Column("gpu", "gpu"), Column("ctx", "ctx", "d"), Column("range", "range", unit="ms"))
    found = [terminaltable.texts(column, rows) for column in columns]
    assert [(column.texts, column.is_number) for column in found] == [
        (["l4"], False),
        (["2048"], True),
        (["1 to 2"], True),
    ]


def test_a_name_has_only_the_fields_that_tell_it_from_others_of_its_place() -> None:
    place = {"gpu": "h200", "quant": "bf16"}
    rows = [
        row(**place, kernel="cublas", runtime="eager", cache="static", dtype="bf16"),
        row(**place, kernel="cublas", runtime="eager", cache="dynamic", dtype="bf16"),
        row(**place, kernel="cublas", runtime="graph", cache="static", dtype="fp16"),
        row(**place, kernel="fused", runtime="fused", cache="static", dtype="bf16"),
        row(**{**place, "gpu": "h100"}, kernel="cublas", runtime="eager", cache="static", dtype="fp16"),
    ]
    named = ("quant", "kernel", "runtime")
    assert terminaltable.names(rows, ("gpu",), named, ("cache", "dtype")) == [
        "bf16 cublas eager static",
        "bf16 cublas eager dynamic",
        "bf16 cublas graph",
        "bf16 fused",
        "bf16 cublas eager",
    ]


def test_paragraphs_are_wrapped_each_on_lines_of_its_own() -> None:
    assert terminaltable.wrapped(["one two", "three"], 5) == ["one", "two", "three"]
