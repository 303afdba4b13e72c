"""The rows of the choose table: every candidate of a scope, judged and ordered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from analysis.choose import foretold, order, recorded, reported
from analysis.choose.candidate import PREDICTED, Candidate
from analysis.choose.chooserow import ChooseRow
from analysis.choose.judged import judged
from analysis.choose.limits import Limits
from analysis.choose.scope import Scope
from analysis.prices import Prices
from analysis.reading import Reading
from runner.errors import BadValue, NotAvailable, UnknownName

SHORTENED = (
    "only the first prediction of each GPU and weight format is shown: name GPUs with --gpu to see all of theirs"
)


@dataclass(frozen=True)
class Chosen:
    """The rows of a question, those that meet its limits first, and a line for each thing that a reader should know."""

    rows: tuple[ChooseRow, ...]
    notes: tuple[str, ...]


def chosen(reading: Reading | None, scope: Scope, limits: Limits, prices: Prices) -> Chosen:
    """Returns the rows of a scope. Without a reading, nothing was measured."""
    measured = [] if reading is None else recorded.candidates(reading, scope, limits.tokens, prices)
    predictions, notes = _predictions(scope, limits.tokens, measured, prices)
    found = [*measured, *reported.candidates(scope, limits.tokens, prices), *predictions]
    rows = sorted((judged(candidate, limits) for candidate in found), key=order.order)
    if scope.named:
        return Chosen(tuple(rows), notes)
    shown = tuple(_without_repeated_predictions(rows))
    return Chosen(shown, notes if len(shown) == len(rows) else (*notes, SHORTENED))


def _predictions(
    scope: Scope, tokens: int, measured: Iterable[Candidate], prices: Prices
) -> tuple[list[Candidate], tuple[str, ...]]:
    """Returns the predictions, or none and the reason."""
    try:
        return foretold.candidates(scope, tokens, {each.configuration for each in measured}, prices), ()
    except (BadValue, NotAvailable, UnknownName) as error:
        return [], (f"nothing is predicted: {error}",)


def _without_repeated_predictions(rows: Iterable[ChooseRow]) -> Iterator[ChooseRow]:
    """Yields the rows; of the predictions of a GPU and weight format only the first."""
    seen: set[tuple[str, str]] = set()
    for each in rows:
        key = (each.gpu, each.quant)
        if each.basis != PREDICTED or key not in seen:
            yield each
        if each.basis == PREDICTED:
            seen.add(key)
