"""Advice for a request whose fields do not go together: changes of it after which its cell can be measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations
from typing import TypeAlias

from runner.cell.vocabulary import AUTO
from runner.errors import BadPair, DecodeFloorError
from runner.plan.request import Request

Changes: TypeAlias = Mapping[str, str]
"""Field of a request → another value."""
PAIRED = ("quant", "kernel", "runtime", "dtype", "cache", "attention", "stack")
"""Fields that must go together."""


class Unpaired(BadPair):
    """Fields that do not go together. `tiers` has changes that may help: those of an earlier tier are better."""

    def __init__(self, text: str, *tiers: Iterable[Changes]) -> None:
        super().__init__(text)
        self.tiers = tiers


def advised(error: Unpaired, request: Request, attempt: Callable[[Changes], object]) -> BadPair:
    """Returns the error with advice: the changes of the best tier after which `attempt` raises no error.

    If none of the error's own changes helps, the fewest fields that can be left to `auto` are the advice.
    """
    for tier in (*error.tiers, *_left_to_auto(request)):
        passing = [text for changes in tier if (text := _text(request, changes)) and _passes(attempt, changes)]
        if passing:
            return BadPair(f"{error}: choose {_listed(list(dict.fromkeys(passing)))}")
    return BadPair(str(error))


def _left_to_auto(request: Request) -> Iterator[list[Changes]]:
    chosen = [name for name in PAIRED if getattr(request, name) != AUTO]
    for size in range(1, len(chosen) + 1):
        yield [dict.fromkeys(names, AUTO) for names in combinations(chosen, size)]


def _passes(attempt: Callable[[Changes], object], changes: Changes) -> bool:
    try:
        attempt(changes)
    except DecodeFloorError:
        return False
    return True


def _text(request: Request, changes: Changes) -> str:
    """Returns the changes as they are typed, empty if the request has these values."""
    return " ".join(f"{name}={value}" for name, value in changes.items() if getattr(request, name) != value)


def _listed(texts: list[str]) -> str:
    *first, last = texts
    return f"{', '.join(first)} or {last}" if first else last
