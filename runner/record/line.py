"""Lines of text about a record. Each begins with the place of a field, and its values are shortened."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator

PLAIN_NAME = re.compile(r"[\w.-]{1,60}")

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


def short_repr(value: object) -> str:
    """Returns the repr of a record's value, shortened and without control characters."""
    return _short.repr(value)


def place_of(name: str, section: str) -> str:
    """Returns the place of the field `name` in the section at `section`, which is empty for the record itself."""
    word = name if PLAIN_NAME.fullmatch(name) else short_repr(name)
    return f"{section}.{word}" if section else word


def unequal(place: str, stored: object, other_place: str, other: object) -> Iterator[str]:
    """Yields a line if two values that must be equal are not."""
    if stored != other:
        yield f"{place}: {short_repr(stored)}, but {other_place} is {short_repr(other)}"


def too_small(place: str, value: float | None, least: float | None, meaning: str) -> Iterator[str]:
    """Yields a line if the value is below `least`, described by `meaning`. Yields nothing if either is None."""
    if value is not None and least is not None and value < least:
        yield f"{place}: {value:g}, less than {meaning} ({least:g})"


def too_large(place: str, value: float | None, most: float, meaning: str) -> Iterator[str]:
    """Yields a line if the value is above `most`, described by `meaning`. Yields nothing if the value is None."""
    if value is not None and value > most:
        yield f"{place}: {value:g}, more than {meaning} ({most:g})"
