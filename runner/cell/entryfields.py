"""Checks the fields of a catalogue's entry against a dataclass: their names, and the kinds of their values.

Whoever wrote the YAML reads the error: it names file, entry and field, and says what to write.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from runner.cell.jsonform import ACCEPTED, hints
from runner.cell.shape import CONFIG_NAMES
from runner.cell.vocabulary import suggestion
from runner.errors import BadValue
from runner.files import yamlfile

KEY = "key"
"""The field of a dataclass that holds the entry's own name."""
WORDS: Mapping[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a mapping",
    NoneType: "null",
}
CONFIG_WORDS = {**CONFIG_NAMES, "max_position_embeddings": "max_positions", "attention_bias": "qkv_bias"}
"""The words of a config.json, from which an entry is copied, and the catalogue's."""
LARGEST = 10**12  # far above anything of a card or model


class Inline:
    """The fields of this dataclass stand in the entry itself."""


@dataclass(frozen=True)
class Field:
    """The type of a field, and whether an entry must have it."""

    hint: Any
    is_needed: bool


@dataclass(frozen=True)
class Place:
    """A place in a file, for the one line of an error."""

    file: str
    path: str

    def at(self, name: str) -> Place:
        return Place(self.file, f"{self.path}.{name}" if self.path else name)

    def error(self, problem: str) -> BadValue:
        return BadValue(f"{self.file}: {self.path}: {problem}" if self.path else f"{self.file}: {problem}")


def fields_of(kind: type) -> dict[str, Field]:
    """Returns the fields of an entry that becomes this dataclass, in their order."""
    table: dict[str, Field] = {}
    for each in dataclasses.fields(kind):
        hint = hints(kind)[each.name]
        if any(isinstance(mark, Inline) for mark in get_args(hint)):
            table |= fields_of(get_args(hint)[0])
        elif each.name != KEY:
            table[each.name] = Field(hint, is_needed=each.default is MISSING)
    return table


def checked(kind: type, entry: Any, place: Place) -> dict[str, Any]:
    """Returns the entry. Raises BadValue where it lacks a field of the dataclass, has an unknown one, or has a value of
    another kind."""
    table = fields_of(kind)
    if not isinstance(entry, dict):
        raise place.error(f"must be a mapping with the fields {', '.join(_needed(kind))}")
    for name in entry:
        if name not in table:
            near = _field_meant(str(name), [field for field in table if field not in entry])
            raise place.at(str(name)).error(f"unknown field (allowed: {', '.join(table)}){near}")
    for name in _needed(kind):
        if name not in entry:
            raise place.at(name).error("missing")
    for name, value in entry.items():
        _check_kind(value, table[name].hint, place.at(name))
    return entry


def _needed(kind: type) -> list[str]:
    return [name for name, field in fields_of(kind).items() if field.is_needed]


def _field_meant(name: str, left: Collection[str]) -> str:
    """Returns a hint to the nearest of the fields that are not there yet."""
    return suggestion(CONFIG_WORDS.get(name, name), left)


def _check_kind(value: Any, hint: Any, place: Place) -> None:
    kinds = _alternatives(hint)
    accepted = [each for kind in kinds for each in _accepted(kind)]
    if type(value) not in accepted:
        words = " or ".join(map(_word, kinds))
        raise place.error(f"{yamlfile.shown(value)} is not {words}{_to_write(value, accepted)}")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """Returns the plain types of a field: `str` and `None` for `str | None`."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _alternatives(get_args(hint)[0])
    if origin in (Union, UnionType):
        return tuple(kind for each in get_args(hint) for kind in _alternatives(each))
    return (origin or hint,)


def _accepted(kind: Any) -> tuple[type, ...]:
    """Returns the types of the values that YAML may have for a plain type."""
    return (dict,) if is_dataclass(kind) else ACCEPTED.get(kind, (kind,))


def _word(kind: Any) -> str:
    return WORDS[kind] if kind in WORDS else f"a mapping with {' and '.join(_needed(kind))}"


def _to_write(value: Any, accepted: Collection[type]) -> str:
    """Says what to write for a number in quotes or a whole one with a point, and for text that YAML takes for something
    else; returns nothing for all else."""
    if str in accepted and not isinstance(value, dict | list):
        return ": write it in quotes"
    try:
        number = float(value) if isinstance(value, str | float) else math.nan
    except ValueError:
        return ""
    if int not in accepted or not math.isfinite(number) or (float not in accepted and not number.is_integer()):
        return ""
    return f": write {int(number)}" if float not in accepted else f": write {_yaml_float(number)}"


def _yaml_float(number: float) -> str:
    """Returns a number as every version of YAML reads it: 1.0e-5, where 1.1 takes 1e-5 for text."""
    mantissa, exponent, digits = repr(number).partition("e")
    point = "" if "." in mantissa else ".0"
    return f"{mantissa}{point}" + (f"e{int(digits):+d}" if exponent else "")


def check_positive(value: float, place: Place) -> None:
    """Raises BadValue for a number that is not above zero, or larger than anything of a model or card."""
    if not 0 < value < math.inf:  # no comparison holds for what is no number
        raise place.error(f"{yamlfile.shown(value)} is not a positive number")
    check_possible(value, LARGEST, place)


def check_possible(value: float, limit: int, place: Place) -> None:
    """Raises BadValue for a slip of the keyboard, which would fill the memory or overflow a float."""
    if value > limit:
        raise place.error(f"{yamlfile.shown(value)} is more than there can be (at most {limit})")
