"""Prices of GPUs per hour, and the cost of tokens at batch 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from runner.cell import catalogue
from runner.cell.vocabulary import suggestion
from runner.errors import BadValue

HOUR_MS = 3.6e6
Prices = Mapping[str, float]
"""Key of a GPU → US dollars per hour, instead of the catalogue's price."""
NONE: Prices = MappingProxyType({})
FORM = "write it as GPU=DOLLARS_PER_HOUR, such as l4=0.35"


def parse(texts: Sequence[str]) -> dict[str, float]:
    """Returns the prices of texts such as `l4=0.35`.

    Raises BadValue for another form, an unknown GPU, a price that is not a positive number, or a GPU named twice.
    """
    prices: dict[str, float] = {}
    for text in texts:
        gpu, separator, dollars = text.partition("=")
        if not separator:
            raise BadValue(f"price {text!r} has no '=': {FORM}")
        if gpu not in catalogue.gpus():
            known = tuple(catalogue.gpus())
            raise BadValue(f"price {text!r}: unknown GPU {gpu!r}{suggestion(gpu, known)} (allowed: {', '.join(known)})")
        if gpu in prices:
            raise BadValue(f"{gpu} has two prices: give it one")
        prices[gpu] = _dollars(text, dollars)
    return prices


def _dollars(text: str, dollars: str) -> float:
    try:
        value = float(dollars)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:  # false for NaN, too
        raise BadValue(f"price {text!r}: {dollars!r} is not a positive number: {FORM}")
    return value


def usd_per_mtok(gpu: str, step_ms: float | None, prices: Prices) -> float | None:
    """Returns US dollars per million tokens of one stream: price per hour · step · 10⁶ / hour.

    The price is that of `prices`, or else the catalogue's. Returns None without a price or a step.
    """
    price = prices.get(gpu, _listed(gpu))
    return None if price is None or step_ms is None else price * step_ms * 1e6 / HOUR_MS


def _listed(gpu: str) -> float | None:
    entry = catalogue.gpus().get(gpu)
    return entry.price_usd_per_hour.value if entry else None
