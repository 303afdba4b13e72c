"""Dataclasses as JSON values, and back: `to_json` and `from_json`.

`from_json` is for what this project's own processes wrote: it checks names and types, and needs the standard library
alone. A record that somebody else may have written is read by `runner.record.read`, which also checks every limit.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from runner.cell.fieldtypes import ABSENT, Absent, WithOrWithout

T = TypeVar("T")
ACCEPTED: Mapping[Any, tuple[type, ...]] = {str: (str,), int: (int,), float: (float, int), bool: (bool,)}
"""Scalar type → the types of the values that may stand for it."""
SCALARS = (str, int, float, NoneType)


def name_of(field: str) -> str:
    """Returns a field's name in JSON: `import` is no name in Python, so it is `import_` there."""
    return field.removesuffix("_")


@cache
def hints(kind: type) -> Mapping[str, Any]:
    """Returns the types of a dataclass's fields, with their limits."""
    return get_type_hints(kind, include_extras=True)


def to_json(value: Any) -> Any:
    """Returns the JSON value of a dataclass, or of a value in one. An absent field is left out; None becomes null."""
    if isinstance(value, SCALARS):  # first, since a record is mostly numbers
        return value
    if is_dataclass(value):
        values = ((name_of(field.name), getattr(value, field.name)) for field in fields(value))
        return {name: to_json(item) for name, item in values if item is not ABSENT}
    if isinstance(value, Mapping):
        return {name: to_json(item) for name, item in value.items()}
    return [to_json(item) for item in value] if isinstance(value, tuple | list) else value


def from_json(kind: type[T], value: Any) -> T:
    """Returns the dataclass of a JSON value.

    Raises ValueError with the place of the first field that is missing, unknown or of another type.
    """
    return cast(T, _built(kind, value, ""))


def _built(hint: Any, value: Any, place: str) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _built(_kind(inner[0], inner[1:], value), value, place)
    if origin in (Union, UnionType):
        if value is None and NoneType in inner:
            return None
        (hint,) = (each for each in inner if each not in (NoneType, Absent))
        return _built(hint, value, place)
    if origin is tuple:
        return _built_tuple(inner, value, place)
    if origin is dict:
        return {name: _built(inner[1], item, _below(place, name)) for name, item in _object(value, place).items()}
    if is_dataclass(hint):
        return _built_fields(cast(type, hint), _object(value, place), place)
    if hint is not Any and (type(value) not in ACCEPTED[hint]):
        raise ValueError(f"{place}: {reprlib.repr(value)} is not of type {hint.__name__}")
    return value


def _kind(hint: Any, marks: tuple[Any, ...], value: Any) -> Any:
    """Returns the type of a section that comes in two kinds, and any other type as it is."""
    for mark in marks:
        if isinstance(mark, WithOrWithout):
            return mark.kind_of(value)
    return hint


def _built_tuple(items: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{place}: {reprlib.repr(value)} is no array")
    kinds = items[:1] * len(value) if items[-1] is Ellipsis else items
    if len(kinds) != len(value):
        raise ValueError(f"{place}: {len(value)} items, {len(kinds)} belong there")
    return tuple(_built(kind, item, f"{place}[{at}]") for at, (kind, item) in enumerate(zip(kinds, value, strict=True)))


def _built_fields(kind: type, value: Mapping[str, Any], place: str) -> Any:
    known = {name_of(name): name for name in hints(kind)}
    for name in value:
        if name not in known:
            raise ValueError(f"{_below(place, name)}: no such field")
    for name in _needed(kind):
        if name not in value:
            raise ValueError(f"{_below(place, name)} is missing")
    built = {known[name]: _built(hints(kind)[known[name]], item, _below(place, name)) for name, item in value.items()}
    return kind(**built)


@cache
def _needed(kind: type) -> list[str]:
    """Returns the fields without a default, by their names in JSON."""
    return [name_of(each.name) for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING]


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{place}: {reprlib.repr(value)} is no object")
    return value


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
