"""Advice for a request whose fields do not go together: changes of it after which its cell can be measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TypeAlias

from runner.cell.vocabulary import AUTO
from runner.counts import listed
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


def advised(
    error: Unpaired, requests: Sequence[Request], attempt: Callable[[Request], object], fixed: str | None = None
) -> BadPair:
    """Returns the error with advice: the changes of the best tier after which `attempt` accepts every request.

    If none of the error's own changes helps, the fewest fields that can be left to `auto` are the advice. The `fixed`
    field of an A/B is not changed.
    """
    for tier in (*error.tiers, *_left_to_auto(requests)):
        allowed = [changes for changes in tier if fixed not in changes and _text(requests, changes)]
        passing = [_text(requests, changes) for changes in allowed if _pass(requests, attempt, changes)]
        if passing:
            return BadPair(f"{error}: choose {listed(list(dict.fromkeys(passing)), 'or')}")
    return BadPair(f"{error}: choose another value of {fixed}" if fixed else str(error))


def _left_to_auto(requests: Sequence[Request]) -> Iterator[list[Changes]]:
    chosen = [name for name in PAIRED if any(getattr(request, name) != AUTO for request in requests)]
    for size in range(1, len(chosen) + 1):
        yield [dict.fromkeys(names, AUTO) for names in combinations(chosen, size)]


def _pass(requests: Sequence[Request], attempt: Callable[[Request], object], changes: Changes) -> bool:
    try:
        for request in requests:
            attempt(replace(request, **changes))
    except DecodeFloorError:
        return False
    return True


def _text(requests: Sequence[Request], changes: Changes) -> str:
    """Returns the changes as they are typed, empty if the requests have these values."""
    return " ".join(
        f"{name}={value}"
        for name, value in changes.items()
        if any(getattr(request, name) != value for request in requests)
    )
