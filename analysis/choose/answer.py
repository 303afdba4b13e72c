"""The answer to a question: its rows, from a source that may have no session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis import prices as pricing
from analysis.choose import choosing, foretold, recorded
from analysis.choose.chooserow import ChooseRow
from analysis.choose.limits import Limits, limits
from analysis.choose.scope import Scope, scope
from analysis.prices import Prices
from analysis.reading import Reading
from analysis.sources.frame import Cell
from analysis.sources.records import NoRecords
from analysis.sources.selection import Selection
from analysis.sources.stored import NoSession
from runner.cell.vocabulary import AUTO
from runner.errors import BadValue


@dataclass(frozen=True)
class Asked:
    """A question: its limits, prices instead of the catalogue's, and its scope as texts of options or parameters."""

    limits: Limits
    prices: Prices
    model: str
    ctx: str
    gpu: str


def asked(model: str, ctx: str, gpu: str, price: Sequence[str], **limited: str) -> Asked:
    """Returns the question that the options state. Prices may be repeated, or have commas between them.

    Raises BadValue as `limits` and `prices.parse` do.
    """
    own_prices = [each for text in price if text != AUTO for each in text.split(",")]
    return Asked(limits(**limited), pricing.parse(own_prices), model, ctx, gpu)


@dataclass(frozen=True)
class Answer:
    """The rows of a question. `reading` is None if the source has no session. `notes` has a line for each thing that a
    reader should know about the source, `left_out` one for each thing that could not be used."""

    rows: Sequence[ChooseRow]
    reading: Reading | None
    notes: tuple[str, ...]
    left_out: tuple[str, ...]


def answer(store: str | None, records: Path | None, question: Asked) -> Answer:
    """Returns the answer from a store or from a folder of records, as `Selection.from_options` finds it.

    Raises UnknownName and BadValue as `scope` does, and BadValue if nothing is known of the scope.
    """
    reading, notes = _reading(store, records)
    cells = {} if reading is None else reading.frame.cells
    place = scope(question.model, question.ctx, question.gpu, _values(cells, "gpu"), _values(cells, "model"))
    found = choosing.chosen(reading, place, question.limits, question.prices)
    if not found.rows:
        raise BadValue(_nothing(place, cells))
    left_out = () if reading is None else reading.frame.left_out
    return Answer(found.rows, reading, (*notes, *found.notes, *_without_rows(place, found.rows)), left_out)


def _without_rows(place: Scope, rows: Sequence[ChooseRow]) -> Iterator[str]:
    """Yields a line for each GPU that was named and has no row."""
    for gpu in place.gpus if place.named else ():
        if not any(row.gpu == gpu for row in rows):
            why = "the catalogue has no bandwidth of it" if not foretold.has_bandwidth(gpu) else "nothing predicts it"
            yield f"no row for {gpu}: {place.words} was neither measured nor published there, and {why}"


def _reading(store: str | None, records: Path | None) -> tuple[Reading | None, tuple[str, ...]]:
    """Returns the sessions of the source, or none and the reason."""
    try:
        selection = Selection.from_options(store, records, None, None, None)
        frame = selection.frame(recorded.METRICS)
    except (NoSession, NoRecords) as error:
        return None, (f"nothing was measured: {error}",)
    return Reading(frame, selection.source), frame.notes


def _values(cells: Mapping[str, Cell], name: str) -> set[str]:
    return {str(cell[name]) for cell in cells.values()}


def _nothing(place: Scope, cells: Mapping[str, Cell]) -> str:
    """Returns the error for a scope without rows, with what is there."""
    there = "; ".join(
        f"{name} {', '.join(sorted(_values(cells, name), key=_by_size))}" for name in ("gpu", "model", "ctx")
    )
    recorded_ = f"recorded are {there}" if cells else "nothing is recorded"
    unknown = f"{place.words} was neither measured nor published on {place.gpu_words}, and nothing predicts it"
    return f"{unknown}: {recorded_}"


def _by_size(text: str) -> tuple[int, str]:
    """Returns a sort key: numbers by size, names by letters."""
    return int(text) if text.isdecimal() else 0, text
