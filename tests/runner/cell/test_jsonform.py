"""Dataclasses and their JSON: each fits the other, and what does not fit is named by its place."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import pytest

from runner.cell.fieldtypes import ABSENT, LEFT_OUT_AT_DEFAULT, Count, OrAbsent, Positive, Series, WithOrWithout
from runner.cell.jsonform import Misfit, from_json, hints, present_fields, to_json


@dataclass(frozen=True)
class Wheel:
    inches: Positive
    spokes: int | None


@dataclass(frozen=True)
class Motor:
    watts: Count


@dataclass(frozen=True)
class Assisted(Motor):
    battery: str


@dataclass(frozen=True)
class Bicycle:
    import_: str  # a word of Python's
    wheels: Series[Wheel]
    gears: tuple[int, int]
    motor: Annotated[Motor, WithOrWithout("battery", Motor, Assisted, Motor)]
    options: dict[str, bool]
    extra: Any = None
    bell: OrAbsent[str | None] = ABSENT
    saddles: Count = field(default=1, metadata=LEFT_OUT_AT_DEFAULT)


DATA: dict[str, Any] = {
    "import": "nl",
    "wheels": [{"inches": 28, "spokes": 36}, {"inches": 26.5, "spokes": None}],
    "gears": [3, 7],
    "motor": {"watts": 250, "battery": "li"},
    "options": {"lights": True},
    "extra": {"any": [1, "thing"]},
}
BICYCLE = Bicycle(
    "nl", (Wheel(28, 36), Wheel(26.5, None)), (3, 7), Assisted(250, "li"), {"lights": True}, DATA["extra"]
)


def test_json_becomes_the_dataclass_and_again_the_json() -> None:
    assert from_json(Bicycle, DATA) == BICYCLE
    assert json.dumps(to_json(BICYCLE)) == json.dumps(DATA)  # 28 stays 28, and 26.5 a float


def test_an_absent_field_is_left_out_and_null_is_written() -> None:
    assert "bell" not in to_json(BICYCLE)
    with_null = {**DATA, "bell": None}
    assert from_json(Bicycle, with_null).bell is None
    assert to_json(from_json(Bicycle, with_null)) == with_null
    assert [name for name, _ in present_fields(BICYCLE)] == [*DATA]


def test_a_section_of_two_kinds_is_of_the_kind_whose_field_it_has() -> None:
    assert type(from_json(Bicycle, {**DATA, "motor": {"watts": 1}}).motor) is Motor


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"import": 3}, "import: 3 is not of type str"),
        ({"import_": "nl"}, "import_: no such field"),
        ({"colour": "red"}, "colour: no such field"),
        ({"gears": [3]}, "gears: 1 items, expected 2"),
        ({"gears": [3, 7.0]}, "gears[1]: 7.0 is not of type int"),
        ({"gears": "37"}, "gears: '37' is not an array"),
        ({"gears": [3, True]}, "gears[1]: True is not of type int"),
        (
            {"wheels": [{"inches": 28, "spokes": 36}, {"inches": "28", "spokes": 36}]},
            "wheels[1].inches: '28' is not of",
        ),
        ({"wheels": [{"inches": 28}]}, "wheels[0].spokes is missing"),
        ({"wheels": {}}, "wheels: {} is not an array"),
        ({"motor": {"battery": "li"}}, "motor.watts is missing"),
        ({"motor": {"watts": 1, "battery": None}}, "motor.battery: None is not of type str"),
        ({"options": {"lights": 1}}, "options.lights: 1 is not of type bool"),
        ({"options": []}, "options: [] is not an object"),
        ({"bell": 1}, "bell: 1 is not of type str"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(change: dict[str, Any], line: str) -> None:
    with pytest.raises(Misfit) as caught:
        from_json(Bicycle, {**DATA, **change})
    assert str(caught.value).startswith(line)


def test_what_is_no_object_at_all_has_no_place() -> None:
    with pytest.raises(Misfit, match=r"^the value: \[\] is not an object$"):
        from_json(Bicycle, [])


def test_a_field_keeps_its_limits_in_the_hints() -> None:
    assert hints(Wheel)["inches"] == Positive
    assert hints(Motor)["watts"] == Count


def test_a_field_that_records_are_older_than_is_left_out_at_its_default() -> None:
    assert "saddles" not in to_json(BICYCLE)
    assert from_json(Bicycle, DATA).saddles == 1
    tandem = replace(BICYCLE, saddles=2)
    assert to_json(tandem)["saddles"] == 2
    assert from_json(Bicycle, to_json(tandem)) == tandem
