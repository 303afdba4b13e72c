"""Counts with their nouns, and lists, for messages: `1 session`, `2 sessions`, `eager or graph`."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Returns the number with the noun in singular or plural. The default `plural` is the noun with an s.

    Both may have a verb: `counted(2, "file is", "files are")`.
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def listed(words: Sequence[str], conjunction: str) -> str:
    """Returns `a, b and c`, for one or more words and the conjunction `and`."""
    *first, last = words
    return f"{', '.join(first)} {conjunction} {last}" if first else last
