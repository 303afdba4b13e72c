"""How a difference is said: one line that begins with the place in the record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runner.record.structure import shown


def unequal(place: str, stored: Any, other_place: str, other: Any) -> Iterator[str]:
    """Yields a line if two values that must be the same are not."""
    if stored != other:
        yield f"{place}: {shown(stored)}, but {other_place} is {shown(other)}"


def below(place: str, value: float | None, least: float | None, what: str) -> Iterator[str]:
    """Yields a line if a value is less than it can be; `what` says what the least is. Without one of them, none."""
    if value is not None and least is not None and value < least:
        yield f"{place}: {value:g}, less than {what} ({least:g})"


def above(place: str, value: float | None, most: float, what: str) -> Iterator[str]:
    """Yields a line if a value is more than it can be; `what` says what the most is."""
    if value is not None and value > most:
        yield f"{place}: {value:g}, more than {what} ({most:g})"
