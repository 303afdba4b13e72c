"""The fields of an entry follow from a dataclass: which there are, which are needed, and the kinds of their values."""

import datetime
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from runner.cell.entryfields import Inline, Place, checked, fields_of
from runner.cell.fieldtypes import Positive, Size
from runner.errors import BadValue

PLACE = Place("cars.yaml", "beetle")


@dataclass(frozen=True)
class Speed:
    value: float | None
    source: str
    note: str | None = None


@dataclass(frozen=True)
class Body:
    doors: Size
    is_open: bool


@dataclass(frozen=True)
class Car:
    key: str
    name: str
    body: Annotated[Body, Inline()]
    litres: Positive
    speed: Speed
    colours: dict[str, Any] | None
    maker: str | None = None


ENTRY = {"name": "Beetle", "doors": 2, "is_open": False, "litres": 1.2, "speed": {}, "colours": None}


def refusal(entry: Any) -> str:
    with pytest.raises(BadValue) as caught:
        checked(Car, entry, PLACE)
    return str(caught.value)


def test_the_fields_are_those_of_the_dataclass_without_its_key() -> None:
    table = fields_of(Car)
    assert [*table] == ["name", "doors", "is_open", "litres", "speed", "colours", "maker"]
    assert [name for name, field in table.items() if not field.is_needed] == ["maker"]


def test_an_entry_with_all_that_is_needed_is_taken() -> None:
    assert checked(Car, ENTRY, PLACE) == ENTRY
    assert checked(Car, {**ENTRY, "litres": 1, "maker": "VW", "colours": {"red": 1}}, PLACE)["maker"] == "VW"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", 64, "64 is not text: write it in quotes"),
        ("maker", datetime.date(1938, 1, 1), "datetime.date(1938, 1, 1) is not text or null: write it in quotes"),
        ("doors", 2.0, "2.0 is not a whole number: write 2"),
        ("doors", True, "true is not a whole number: write one"),
        ("doors", "2.5", "'2.5' is not a whole number: write one"),
        ("litres", "1e-5", "'1e-5' is not a number: write 1.0e-5"),
        ("litres", None, "null is not a number: write one"),
        ("is_open", 0, "0 is not true or false: write one"),
        ("speed", 100, "100 is not a mapping with value and source: write one"),
        ("colours", ["red"], "['red'] is not a mapping or null: write one"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_what_to_write(field: str, value: Any, said: str) -> None:
    assert refusal({**ENTRY, field: value}) == f"cars.yaml: beetle.{field}: {said}"


def test_a_field_that_is_missing_or_unknown_is_named_with_the_nearest() -> None:
    without = {name: value for name, value in ENTRY.items() if name != "doors"}
    assert refusal(without) == "cars.yaml: beetle.doors: missing: add this field"
    allowed = "name, doors, is_open, litres, speed, colours, maker"
    said = f"unknown field (allowed: {allowed})"
    assert refusal({**without, "dores": 2}) == f"cars.yaml: beetle.dores: {said}; did you mean doors?"
    assert refusal({**ENTRY, "key": "x"}).startswith(f"cars.yaml: beetle.key: {said}")


def test_what_is_no_mapping_is_told_the_fields() -> None:
    expected = "name, doors, is_open, litres, speed, colours"
    assert refusal(None) == f"cars.yaml: beetle: must be a mapping with the fields {expected}"
