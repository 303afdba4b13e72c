"""Types of a record's fields: numbers, words and series, with their limits.

A limit is data. `record.schema` writes it into docs/record.schema.json. Pydantic calls `__get_pydantic_core_schema__`
when it reads a record. The schemas are plain mappings, so nothing here imports pydantic.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

T = TypeVar("T")
Core: TypeAlias = dict[str, Any]
"""A schema of pydantic-core."""


class Absent(Enum):
    """The value of a field that a record does not have. It is not null, and it is false."""

    ABSENT = "absent"

    def __bool__(self) -> Literal[False]:
        return False


ABSENT: Final = Absent.ABSENT


def value_or_none(value: T | Absent) -> T | None:
    """Returns the value of a field; None if it is absent."""
    return None if isinstance(value, Absent) else value


@dataclass(frozen=True)
class Limit:
    """A limit: its keyword in JSON Schema, None if there is none, and its name in pydantic-core."""

    keyword: str | None
    core_name: str
    value: Any

    @property
    def keywords(self) -> dict[str, Any]:
        return {self.keyword: self.value} if self.keyword else {}

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Core]) -> Core:
        return {**handler(source), self.core_name: self.value}


@dataclass(frozen=True)
class OneOf:
    """The values that a field may have."""

    values: tuple[str | int | bool, ...]

    @property
    def keywords(self) -> dict[str, Any]:
        return {"const": self.values[0]} if len(self.values) == 1 else {"enum": list(self.values)}

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Core]) -> Core:
        # the type is checked first: a literal accepts 1.0 for 1
        return {"type": "chain", "steps": [handler(source), {"type": "literal", "expected": list(self.values)}]}


LEFT_OUT_AT_DEFAULT: Final = {"left out of JSON at": "its default"}
"""Metadata of a dataclass field that JSON leaves out at its default, since records are older than the field."""


class Distinct:
    """Mark of a series without duplicates."""

    keywords: Final = {"uniqueItems": True}
    message: Final = "has an item twice"

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Core]) -> Core:
        return {
            "type": "function-after",
            "function": {"type": "no-info", "function": _distinct},
            "schema": handler(source),
        }


def _distinct(items: tuple[T, ...]) -> tuple[T, ...]:
    if len({*items}) < len(items):
        raise ValueError(Distinct.message)
    return items


class AsWritten:
    """Mark of a number that stays an integer if the record's text has no fraction."""

    keywords: Final[dict[str, Any]] = {}

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Core]) -> Core:
        return {
            "type": "function-wrap",
            "function": {"type": "no-info", "function": _checked},
            "schema": handler(source),
        }


def _checked(value: T, check: Callable[[T], object]) -> T:
    check(value)
    return value


@dataclass(frozen=True)
class WithOrWithout:
    """A section of two kinds, distinguished by a field that only one has. `common` is their common base class."""

    name: str
    common: type
    with_it: type
    without: type

    def kind_of(self, value: Any) -> type:
        """Returns the kind of a section's JSON value."""
        return self.with_it if isinstance(value, dict) and self.name in value else self.without

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Core:
        kinds = {"with": self.with_it, "without": self.without}
        return {
            "type": "tagged-union",
            "choices": {tag: handler.generate_schema(kind) for tag, kind in kinds.items()},
            "discriminator": lambda value: "with" if self.kind_of(value) is self.with_it else "without",
        }


class Stated:
    """Mark of a dataclass whose fields are all required in a record, defaults or not."""

    keywords: Final[dict[str, Any]] = {}

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Core:
        schema: Core = handler(source)
        for field in handler.resolve_ref_schema(schema)["schema"]["fields"]:
            if field["schema"]["type"] == "default":
                field["schema"] = field["schema"]["schema"]
        return schema


class MayBeAbsent:
    """Mark of a field that may be missing. ABSENT itself is never written."""

    keywords: Final[dict[str, Any]] = {}

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Core:
        schema: Core = handler.generate_schema(without_absent(source))
        return schema


def without_absent(hint: Any) -> Any:
    """Returns a union without Absent."""
    if get_origin(hint) not in (Union, UnionType):
        return hint
    return Union[tuple(each for each in get_args(hint) if each is not Absent)]  # noqa: UP007 - types known at run time only


LARGEST = int(sys.float_info.max)
IN_RANGE = Limit(None, "le", LARGEST)  # a larger integer overflows in arithmetic with floats
NOT_EMPTY = Limit("minItems", "min_length", 1)

Integer: TypeAlias = Annotated[int, IN_RANGE]
Count: TypeAlias = Annotated[int, IN_RANGE, Limit("minimum", "ge", 0)]
Size: TypeAlias = Annotated[int, IN_RANGE, Limit("minimum", "ge", 1)]
Number: TypeAlias = Annotated[float, AsWritten()]
NotNegative: TypeAlias = Annotated[float, Limit("minimum", "ge", 0), AsWritten()]
Positive: TypeAlias = Annotated[float, Limit("exclusiveMinimum", "gt", 0), AsWritten()]
Series: TypeAlias = Annotated[tuple[T, ...], NOT_EMPTY]
"""A series with at least one value."""
Marks: TypeAlias = Annotated[tuple[str, ...], Distinct()]
OrAbsent: TypeAlias = Annotated[T | Absent, MayBeAbsent()]
Key: TypeAlias = Annotated[str, Limit("pattern", "pattern", "^[0-9a-f]{12}$")]
