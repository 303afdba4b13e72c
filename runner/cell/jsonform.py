"""Conversion between dataclasses and JSON values: `to_json` and `from_json`.

`from_json` reads values that this project's own processes wrote. It checks names and types, and needs the standard
library alone. `runner.record.read` reads records from elsewhere and also checks every limit.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from runner.cell.fieldtypes import ABSENT, LEFT_OUT_AT_DEFAULT, Absent, WithOrWithout

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
Builder: TypeAlias = Callable[[Any], Any]
ACCEPTED: Mapping[Any, tuple[type, ...]] = {str: (str,), int: (int,), float: (float, int), bool: (bool,)}
"""Type of a scalar field → the types of its JSON values."""
SCALARS = (str, int, float, NoneType)


def name_of(field: str) -> str:
    """Returns a field's name in JSON. Python's `import_` is `import`, a reserved word, in JSON."""
    return field.removesuffix("_")


@cache
def hints(kind: type) -> Mapping[str, Any]:
    """Returns field name → type of a dataclass, with its limits."""
    return get_type_hints(kind, include_extras=True)


def present_fields(section: DataclassInstance) -> Iterator[tuple[str, Any]]:
    """Yields JSON name and value of each field that is not absent, without those that JSON leaves out at their
    default."""
    for attribute, name, left_out in _members_of(type(section)):
        value = getattr(section, attribute)
        if value is not ABSENT and not (left_out is not MISSING and value == left_out):
            yield name, value


@cache
def _members_of(kind: type[DataclassInstance]) -> tuple[tuple[str, str, Any], ...]:
    """Returns attribute, JSON name, and the default at which JSON leaves it out (MISSING if it never does) of each
    field. Cached, since a record has thousands of sections."""
    return tuple(
        (field.name, name_of(field.name), field.default if is_left_out_at_default(field) else MISSING)
        for field in fields(kind)
    )


def is_left_out_at_default(field: Field[Any]) -> bool:
    """Returns whether JSON leaves out a field at its default."""
    return field.metadata.keys() >= LEFT_OUT_AT_DEFAULT.keys()


def to_json(value: Any) -> Any:
    """Returns the JSON value of a dataclass or of a field's value. An absent field is left out; None becomes null."""
    if isinstance(value, SCALARS):  # first, because a record is mostly numbers
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {name: to_json(item) for name, item in present_fields(value)}
    if isinstance(value, Mapping):
        return {name: to_json(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [item if type(item) is float else to_json(item) for item in value]  # times of thousands of steps
    return value


class Misfit(ValueError):
    """The error of a JSON value that does not match its field's type. The message is its place, then the problem."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self._problem, self._place = problem, ""

    def below(self, part: str) -> Misfit:
        """Returns this error with `part` put in front of its place."""
        self._place = part + self._place
        return self

    def __str__(self) -> str:
        return f"{self._place.removeprefix('.') or 'the value'}{self._problem}"


def from_json(kind: type[T], value: Any) -> T:
    """Returns the dataclass of a JSON value.

    Raises Misfit with the place of the first field that is missing, unknown or of another type.
    """
    return cast(T, _builder(cast(Any, kind))(value))


@cache
def _builder(hint: Any) -> Builder:
    """Returns the function that builds a field's value from its JSON value."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        kinds = next((mark for mark in inner[1:] if isinstance(mark, WithOrWithout)), None)
        return _union(kinds) if kinds else _builder(inner[0])
    if origin in (Union, UnionType):
        (kind,) = (each for each in inner if each not in (NoneType, Absent))
        return _nullable(_builder(kind)) if NoneType in inner else _builder(kind)
    if origin is tuple:
        is_series = inner[-1] is Ellipsis
        return _series(_builder(inner[0])) if is_series else _group(tuple(map(_builder, inner)))
    if origin is dict:
        return _mapping(_builder(inner[1]))
    if is_dataclass(hint):
        return _object(cast(type, hint))
    return _unchecked if hint is Any else _scalar(hint)


def _unchecked(value: Any) -> Any:
    return value


def _scalar(kind: type) -> Builder:
    def build(value: Any) -> Any:
        if type(value) not in ACCEPTED[kind]:
            raise Misfit(f": {reprlib.repr(value)} is not of type {kind.__name__}")
        return value

    return build


def _nullable(build_inner: Builder) -> Builder:
    return lambda value: None if value is None else build_inner(value)


def _union(kinds: WithOrWithout) -> Builder:
    return lambda value: _builder(kinds.kind_of(value))(value)


def _series(build_item: Builder) -> Builder:
    return lambda value: tuple(_built(build_item, item, f"[{at}]") for at, item in enumerate(_items(value)))


def _group(builders: tuple[Builder, ...]) -> Builder:
    def build(value: Any) -> Any:
        if len(_items(value)) != len(builders):
            raise Misfit(f": {len(value)} items, expected {len(builders)}")
        pairs = zip(builders, value, strict=True)
        return tuple(_built(build_item, item, f"[{at}]") for at, (build_item, item) in enumerate(pairs))

    return build


def _mapping(build_item: Builder) -> Builder:
    return lambda value: {name: _built(build_item, item, f".{name}") for name, item in _members(value).items()}


def _object(kind: type) -> Builder:
    fields_of = {name_of(name): (name, _builder(hint)) for name, hint in hints(kind).items()}
    needed = [name_of(each.name) for each in fields(kind) if each.default is each.default_factory is MISSING]

    def build(value: Any) -> Any:
        members = {}
        for member, item in _members(value).items():
            if member not in fields_of:
                raise Misfit(": no such field").below(f".{member}")
            name, build_item = fields_of[member]
            members[name] = _built(build_item, item, f".{member}")
        if missing := [member for member in needed if member not in value]:
            raise Misfit(" is missing").below(f".{missing[0]}")
        return kind(**members)

    return build


def _built(build: Builder, value: Any, place: str) -> Any:
    try:
        return build(value)
    except Misfit as error:
        raise error.below(place) from None


def _items(value: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise Misfit(f": {reprlib.repr(value)} is not an array")
    return value


def _members(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Misfit(f": {reprlib.repr(value)} is not an object")
    return value
