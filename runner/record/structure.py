"""The structure of a record: docs/record.schema.json, read without the jsonschema package, which no GPU box needs.

Of JSON Schema 2020-12 this knows what that file uses (a test holds both readings against each other). It is stricter in
two places, so that arithmetic can follow: an integer is written as one (2, not 2.0), and a number is finite.
"""

from __future__ import annotations

import json
import re
import reprlib
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from runner.errors import MissingPackage
from runner.files import shipped

SCHEMA_PATH = shipped.folder("docs") / "record.schema.json"
Schema = Mapping[str, Any]
PLAIN_NAME = re.compile(r"[\w.-]{1,60}")

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


def shown(value: Any) -> str:
    """A value of a record for a line of text: cut, and with nothing in it that a terminal would act on."""
    return _short.repr(value)


def faults(record: Any) -> list[str]:
    """One line for each place where the record is not what the schema says; of an array only the first such item."""
    return list(_faults(record, _schema(), ""))


@cache
def _schema() -> Schema:
    try:
        loaded: Schema = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    except OSError as error:
        raise MissingPackage(f"{SCHEMA_PATH} is missing: records are checked in a whole checkout") from error
    return loaded


def _is_number(value: Any) -> bool:
    # the comparison is false for NaN, and exact for integers that no float can hold
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list | tuple),  # a tuple in a record that was never a file
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": _is_number,
    "integer": lambda value: isinstance(value, int) and _is_number(value),
}


def _faults(value: Any, schema: Schema, place: str) -> Iterator[str]:
    wanted = schema.get("type", [])
    names = [wanted] if isinstance(wanted, str) else wanted
    if names and not any(TYPES[name](value) for name in names):
        yield f"{place or 'the record'}: {shown(value)} is no {' or '.join(names)}"
        return
    yield from _word_faults(value, schema, place)
    if isinstance(value, dict):
        yield from _object_faults(value, schema, place)
    elif isinstance(value, list | tuple):
        yield from _array_faults(value, schema, place)
    elif isinstance(value, str):
        yield from _string_faults(value, schema, place)
    elif _is_number(value):
        yield from _number_faults(value, schema, place)
    if "if" in schema:
        holds = not any(_faults(value, schema["if"], place))
        yield from _faults(value, schema.get("then" if holds else "else", {}), place)


def _word_faults(value: Any, schema: Schema, place: str) -> Iterator[str]:
    words = [schema["const"]] if "const" in schema else schema.get("enum")
    # True == 1 in Python, not in JSON
    if words is not None and not any(value == word and type(value) is type(word) for word in words):
        yield f"{place}: {shown(value)} is not {' or '.join(map(str, words))}"


def _object_faults(value: dict[str, Any], schema: Schema, place: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{below(place, name)} is missing"
    for name, item in value.items():
        if name in known:
            yield from _faults(item, known[name], below(place, name))
        elif others is False:
            yield f"{below(place, name)}: a record has no such field"
        elif others is not True:
            yield from _faults(item, others, below(place, name))


def below(place: str, name: str) -> str:
    """Returns the place of a field in the section at `place`, for a line of text."""
    word = name if PLAIN_NAME.fullmatch(name) else shown(name)
    return f"{place}.{word}" if place else word


def _array_faults(value: list[Any] | tuple[Any, ...], schema: Schema, place: str) -> Iterator[str]:
    if len(value) < schema.get("minItems", 0):
        yield f"{place}: {len(value)} items, at least {schema['minItems']} belong there"
    if schema.get("uniqueItems") and len({repr(item) for item in value}) < len(value):
        yield f"{place}: {shown(value)} has an item twice"
    item_schema = schema.get("items", {})
    found = (fault for index, item in enumerate(value) for fault in _faults(item, item_schema, f"{place}[{index}]"))
    if first := next(found, None):
        yield first


def _string_faults(value: str, schema: Schema, place: str) -> Iterator[str]:
    if len(value) < schema.get("minLength", 0):
        yield f"{place}: empty"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{place}: {shown(value)} does not match {schema['pattern']}"


def _number_faults(value: float, schema: Schema, place: str) -> Iterator[str]:
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{place}: {shown(value)} is below {schema['minimum']}"
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        yield f"{place}: {shown(value)} is not above {schema['exclusiveMinimum']}"
