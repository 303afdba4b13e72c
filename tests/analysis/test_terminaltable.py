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


def test_a_column_that_wraps_takes_lines_before_another_is_left_out() -> None:
    wrapping = (
        Texts("claim", ["one long claim of several words", "short"], wraps=True),
        Texts("not measured", ["1", "22"], is_number=True, wraps=True),
        Texts("verdict", ["holds", "no"]),
    )
    # 22 + 2 + 8 + 2 + 7 = 41
    assert terminaltable.lines(wrapping, ("verdict",), 41) == [
        "                             not",
        "claim                   measured  verdict",
        "one long claim of              1  holds",
        "several words",
        "short                         22  no",
    ]
    assert "verdict" not in " ".join(terminaltable.lines(wrapping, ("verdict",), 40))


def test_words_are_continued_below_where_nothing_else_can_be_left_out() -> None:
    assert terminaltable.lines(COLUMNS[:2], (), 10) == ["name      ms", "a      10.25", "graph", "b        9.5"]


def test_a_protocol_has_its_short_name_unless_rows_would_look_alike() -> None:
    def named(*protocols: str) -> list[str]:
        rows = [row(gpu="h200", runtime="graph", protocol=protocol) for protocol in protocols]
        return terminaltable.names(rows, ("gpu",), ("runtime",), ("protocol",))

    assert named("paper-5-30", "tail-long-5-10x300") == ["graph", "graph tail-long"]
    long = ("tail-long-5-10x300", "tail-long-5-20x300")
    assert named(*long) == [f"graph {protocol}" for protocol in long]


def test_the_words_of_a_name_have_the_order_of_a_cell() -> None:
    rows = [row(quant="awq", kernel=kernel, runtime="graph") for kernel in ("marlin", "autoawq-triton")]
    assert terminaltable.names(rows, (), ("runtime", "quant"), ("kernel",)) == [
        "awq marlin graph",
        "awq autoawq-triton graph",
    ]


def test_a_row_has_no_word_that_only_tells_others_apart() -> None:
    rows = [
        row(runtime="eager", cache="static", options=""),
        row(runtime="eager", cache="dynamic", options=""),
        row(runtime="eager", cache="dynamic", options="sdpa:flash"),
    ]
    found = terminaltable.names(rows, (), ("runtime",), ("cache", "options"))
    assert found == ["eager static", "eager dynamic", "eager dynamic sdpa:flash"]


def test_the_lines_of_an_item_begin_below_its_text() -> None:
    assert terminaltable.wrapped(["- one two three", "four five"], 9) == ["- one two", "  three", "four five"]
