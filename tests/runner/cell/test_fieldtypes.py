"""Each type of a record's fields takes what is within its limit, and states that limit in JSON Schema's words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from runner.cell.fieldtypes import (
    ABSENT,
    IN_RANGE,
    LARGEST,
    NOT_EMPTY,
    Absent,
    Count,
    Distinct,
    Key,
    Marks,
    NotNegative,
    Number,
    OneOf,
    OrAbsent,
    Positive,
    Series,
    Size,
    Stated,
    WithOrWithout,
    value_or_none,
    without_absent,
)


def accepts(kind: Any, value: Any) -> bool:
    try:
        TypeAdapter(kind).validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "within", "beyond"),
    [
        (Count, [0, 1, LARGEST], [-1, LARGEST * 2, 1.0]),
        (Size, [1], [0]),
        (NotNegative, [0, 0.0, 1e-300], [-1e-300]),
        (Positive, [1e-300, 1], [0, 0.0, -1.0]),
        (Series[int], [[1]], [[]]),
        (Marks, [[], ["a", "b"]], [["a", "b", "a"]]),
        (Key, ["0123456789ab"], ["0123456789AB", "0123456789abc", "0123456789a", "0123456789ag"]),
        (Annotated[int, OneOf((1, 2))], [1, 2], [3, 1.0, True, "1"]),
    ],
)
def test_a_limit_has_two_sides(kind: Any, within: list[Any], beyond: list[Any]) -> None:
    assert [value for value in within if not accepts(kind, value)] == []
    assert [value for value in beyond if accepts(kind, value)] == []


@pytest.mark.parametrize("text", ["3", "3.0", "2.5"])
def test_a_number_stays_as_it_was_written(text: str) -> None:
    """A float in Python, a whole number of milliseconds would be written back as 3.0."""
    assert json.dumps(TypeAdapter(Number).validate_json(text, strict=True)) == text


def test_limits_are_written_in_the_words_of_json_schema() -> None:
    assert OneOf((1,)).keywords == {"const": 1}
    assert OneOf(("a", "b")).keywords == {"enum": ["a", "b"]}
    assert NOT_EMPTY.keywords == {"minItems": 1}
    assert Distinct.keywords == {"uniqueItems": True}
    assert IN_RANGE.keywords == {}  # JSON Schema need not know what overflows in Python


def test_an_absent_value_is_neither_null_nor_true() -> None:
    assert not ABSENT
    assert (value_or_none(ABSENT), value_or_none(None), value_or_none(0), value_or_none("x")) == (None, None, 0, "x")


def test_only_absence_is_taken_out_of_a_union() -> None:
    assert without_absent(int | None | Absent) == int | None
    assert without_absent(int | Absent) is int
    assert without_absent(int) is int


@dataclass(frozen=True)
class Light:
    lumens: int = 80
    maker: OrAbsent[str] = ABSENT


@dataclass(frozen=True)
class Dynamo(Light):
    volts: int = 6


def test_an_absent_field_may_be_missing_and_is_never_written() -> None:
    assert TypeAdapter(Light).validate_json("{}", strict=True).maker is ABSENT
    assert not accepts(Light, {"maker": "absent"} | {"lumens": "80"})
    assert accepts(Light, {"maker": "absent"})  # a word like any other
    assert not accepts(Light, {"maker": None})


def test_every_field_of_a_stated_section_is_needed() -> None:
    stated = Annotated[Light, Stated()]
    assert accepts(stated, {"lumens": 1, "maker": "x"})
    assert not accepts(stated, {"maker": "x"})
    assert accepts(Light, {"maker": "x"})


def test_a_section_is_of_the_kind_whose_field_it_has() -> None:
    kinds = WithOrWithout("volts", Light, Dynamo, Light)
    assert (kinds.kind_of({"volts": 6}), kinds.kind_of({"lumens": 1}), kinds.kind_of([])) == (Dynamo, Light, Light)
    read = TypeAdapter(Annotated[Dynamo | Light, kinds])
    assert read.validate_json('{"volts": 12}', strict=True) == Dynamo(volts=12)
    assert read.validate_json('{"lumens": 12}', strict=True) == Light(12)
