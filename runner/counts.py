"""Counts with their nouns, for messages: `1 session`, `2 sessions`."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Returns the number with the noun in singular or plural. The default `plural` is the noun with an s.

    Both may have a verb: `counted(2, "file is", "files are")`.
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
