"""A line of text about a record: it begins with the place of what it names, and fits a terminal."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator

PLAIN_NAME = re.compile(r"[\w.-]{1,60}")

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


def shown(value: object) -> str:
    """Returns a value of a record for a line: cut, and with nothing in it that a terminal would act on."""
    return _short.repr(value)


def place_of(name: str, section: str) -> str:
    """Returns the place of the field `name` in the section at the place `section`, which is empty for the record."""
    word = name if PLAIN_NAME.fullmatch(name) else shown(name)
    return f"{section}.{word}" if section else word


def unequal(place: str, stored: object, other_place: str, other: object) -> Iterator[str]:
    """Yields a line if two values that must be the same are not."""
    if stored != other:
        yield f"{place}: {shown(stored)}, but {other_place} is {shown(other)}"


def below(place: str, value: float | None, least: float | None, what: str) -> Iterator[str]:
    """Yields a line if a value is less than it can be; `what` names the least. Yields none without one of the two."""
    if value is not None and least is not None and value < least:
        yield f"{place}: {value:g}, less than {what} ({least:g})"


def above(place: str, value: float | None, most: float, what: str) -> Iterator[str]:
    """Yields a line if a value is more than it can be; `what` names the most. Yields none without a value."""
    if value is not None and value > most:
        yield f"{place}: {value:g}, more than {what} ({most:g})"
