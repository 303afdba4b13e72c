"""Checks the fields of a catalogue entry against a dataclass: their names, and the types of their values.

Each error names file, entry and field, and says what to write.
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
"""Name of the dataclass field that holds the entry's own name."""
WORDS: Mapping[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a mapping",
    NoneType: "null",
}
CONFIG_WORDS = {**CONFIG_NAMES, "max_position_embeddings": "max_positions", "attention_bias": "qkv_bias"}
"""A config.json's name of a field → the catalogue's. Entries are copied from a config.json."""
LARGEST = 10**12  # far above any figure of a card or model


class Inline:
    """Mark of a dataclass whose fields are fields of the entry itself."""


@dataclass(frozen=True)
class Field:
    """The type of a field, and whether an entry must have it."""

    hint: Any
    is_needed: bool


@dataclass(frozen=True)
class Place:
    """A place in a file, for an error message."""

    file: str
    path: str

    def at(self, name: str) -> Place:
        return Place(self.file, f"{self.path}.{name}" if self.path else name)

    def error(self, problem: str) -> BadValue:
        return BadValue(f"{self.file}: {self.path}: {problem}" if self.path else f"{self.file}: {problem}")


def fields_of(kind: type) -> dict[str, Field]:
    """Returns the fields of an entry of this dataclass, in order."""
    table: dict[str, Field] = {}
    for each in dataclasses.fields(kind):
        hint = hints(kind)[each.name]
        if any(isinstance(mark, Inline) for mark in get_args(hint)):
            table |= fields_of(get_args(hint)[0])
        elif each.name != KEY:
            table[each.name] = Field(hint, is_needed=each.default is MISSING)
    return table


def checked(kind: type, entry: Any, place: Place) -> dict[str, Any]:
    """Returns the entry unchanged. Raises BadValue if it is no mapping, or a field is missing, unknown, or of another
    type."""
    table = fields_of(kind)
    if not isinstance(entry, dict):
        raise place.error(f"must be a mapping with the fields {', '.join(_required_names(kind))}")
    for name in entry:
        if name not in table:
            near = _nearest_field(str(name), [field for field in table if field not in entry])
            raise place.at(str(name)).error(f"unknown field (allowed: {', '.join(table)}){near}")
    for name in _required_names(kind):
        if name not in entry:
            raise place.at(name).error("missing: add this field")
    for name, value in entry.items():
        _check_kind(value, table[name].hint, place.at(name))
    return entry


def _required_names(kind: type) -> list[str]:
    return [name for name, field in fields_of(kind).items() if field.is_needed]


def _nearest_field(name: str, unused: Collection[str]) -> str:
    """Returns a suggestion of the nearest field among `unused`, or nothing."""
    return suggestion(CONFIG_WORDS.get(name, name), unused)


def _check_kind(value: Any, hint: Any, place: Place) -> None:
    kinds = _alternatives(hint)
    accepted = [each for kind in kinds for each in _accepted(kind)]
    if type(value) not in accepted:
        words = " or ".join(map(_word, kinds))
        remedy = _correction(value, accepted) or ": write one"
        raise place.error(f"{yamlfile.yaml_text(value)} is not {words}{remedy}")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """Returns the plain types of a field: `str` and `None` for `str | None`."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _alternatives(get_args(hint)[0])
    if origin in (Union, UnionType):
        return tuple(kind for each in get_args(hint) for kind in _alternatives(each))
    return (origin or hint,)


def _accepted(kind: Any) -> tuple[type, ...]:
    """Returns the types that a YAML value of a plain type may have."""
    return (dict,) if is_dataclass(kind) else ACCEPTED.get(kind, (kind,))


def _word(kind: Any) -> str:
    return WORDS[kind] if kind in WORDS else f"a mapping with {' and '.join(_required_names(kind))}"


def _correction(value: Any, accepted: Collection[type]) -> str:
    """Returns what to write instead of a quoted number, a whole number with a point, or unquoted text that YAML reads
    as another type; nothing for other values."""
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
    """Returns a number in a form that every version of YAML reads: 1.0e-5, since YAML 1.1 reads 1e-5 as text."""
    mantissa, exponent, digits = repr(number).partition("e")
    point = "" if "." in mantissa else ".0"
    return f"{mantissa}{point}" + (f"e{int(digits):+d}" if exponent else "")


def check_positive(value: float, place: Place) -> None:
    """Raises BadValue for a number that is not above zero, or above `LARGEST`."""
    if not 0 < value < math.inf:  # false for NaN, too
        raise place.error(f"{yamlfile.yaml_text(value)} is not a positive number: write one")
    check_possible(value, LARGEST, place)


def check_possible(value: float, limit: int, place: Place) -> None:
    """Raises BadValue for a number above the limit. A typing error could fill the memory or overflow a float."""
    if value > limit:
        raise place.error(f"{yamlfile.yaml_text(value)} is too large (at most {limit}): correct it")
