"""The limits that a configuration has to meet, with the checks of their values."""

from __future__ import annotations

import math
from dataclasses import dataclass

from runner.cell.vocabulary import AUTO
from runner.errors import BadValue

DEFAULT_DEADLINE_MS = 50.0
"""The deadline of a table for which nobody named one: 20 tokens/s."""


@dataclass(frozen=True)
class Limits:
    """The limits of a question: `deadline_ms` for `tokens` consecutive tokens, and further limits, None for none.

    `miss` limits the probability of missing the deadline, `usd_per_mtok` the price of a million tokens in US dollars,
    `joules_per_token` the energy.
    """

    deadline_ms: float = DEFAULT_DEADLINE_MS
    tokens: int = 1
    miss: float | None = None
    usd_per_mtok: float | None = None
    joules_per_token: float | None = None

    @property
    def words(self) -> str:
        """Returns the limits as text."""
        for_tokens = f" for {self.tokens} tokens" if self.tokens > 1 else ""
        more = (
            None if self.miss is None else f"missed with a probability of at most {self.miss:g}",
            None if self.usd_per_mtok is None else f"at most {self.usd_per_mtok:g} $/Mtok",
            None if self.joules_per_token is None else f"at most {self.joules_per_token:g} J/token",
        )
        return ", ".join((f"{self.deadline_ms:g} ms{for_tokens}", *filter(None, more)))


def limits(deadline_ms: str, tokens: str, miss: str, usd_per_mtok: str, joules_per_token: str) -> Limits:
    """Returns the limits that the texts of options or parameters state; `auto` is no limit.

    Raises BadValue for a text that is no number or is out of range.
    """
    return Limits(
        _number("deadline-ms", deadline_ms),
        _count("tokens", tokens),
        _probability("miss", miss),
        _number_or_none("usd-per-mtok", usd_per_mtok),
        _number_or_none("joules-per-token", joules_per_token),
    )


def _number_or_none(name: str, text: str) -> float | None:
    return None if text == AUTO else _number(name, text)


def _probability(name: str, text: str) -> float | None:
    if text == AUTO:
        return None
    value = _parsed(name, text)
    if not 0 < value < 1:  # false for NaN, too
        raise BadValue(f"--{name} {text}: a number above 0 and below 1 is needed, such as 0.001")
    return value


def _number(name: str, text: str) -> float:
    value = _parsed(name, text)
    if not (math.isfinite(value) and value > 0):
        raise BadValue(f"--{name} {text}: a finite number above 0 is needed")
    return value


def _parsed(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadValue(f"--{name} {text!r} is not a number: write it in digits, such as 50 or 0.5") from None


def _count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise BadValue(f"--{name} {text!r}: a whole number of at least 1 is needed")
    return int(text)
