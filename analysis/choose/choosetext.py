"""The choose table as text for a terminal: as many columns as fit, one line for each row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.choose.candidate import MEASURED, PREDICTED, PUBLISHED
from analysis.choose.choosecolumns import names
from analysis.choose.chooserow import ChooseRow
from analysis.form import NOTHING
from analysis.terminaltable import CONFIGURATION, Texts, lines, more, wrapped
from runner.layout import WIDTH

SHORT: Mapping[str, str] = {MEASURED: "measured", PUBLISHED: "paper", PREDICTED: "predicted"}
UNTESTED = "untested"
FLAGGED, QUANTISED = "!", "*"
FIRST_TOKEN = "first token ms"
EXPENDABLE = ("GB left", "tokens/s", "miss ≤", "J/token", "p99 ≤", "$/Mtok")
"""Columns that a narrow terminal does without, the first to go first."""
MORE = more("flags and notes")


@dataclass(frozen=True)
class Value:
    """A column of values: its title, and its text in a row, None if the row has none."""

    title: str
    text: Callable[[ChooseRow], str | None]

    def texts(self, rows: Sequence[ChooseRow]) -> Texts:
        return Texts(self.title, [self.text(row) or NOTHING for row in rows], is_number=True)


VALUES = (
    Value("ms/step", lambda row: row.short_step_words),
    Value("chunk ms", lambda row: row.short_chunk_words if row.tokens > 1 else None),
    Value("p99 ≤", lambda row: _number(row.p99_ms, ".2f")),
    Value("miss ≤", lambda row: None if row.miss_upper is None else f"{100 * row.miss_upper:.3g} %"),
    Value("tokens/s", lambda row: _number(row.tokens_per_s, ".1f")),
    Value("J/token", lambda row: _number(row.joules_per_token, ".3f")),
    Value("$/Mtok", lambda row: _number(row.usd_per_mtok, ".2f")),
    Value("GB left", lambda row: _number(row.memory_left_bytes, ".1f", 1e9)),
    Value(FIRST_TOKEN, lambda row: _number(row.prefill_ms, ".0f")),
)


def text(rows: Sequence[ChooseRow], sentences: Sequence[str], prefill: bool, width: int = WIDTH) -> str:
    """Returns the rows as aligned columns, the meaning of their marks, and the sentences; the time to the first token
    only with `prefill`."""
    configurations = (f"{name}{QUANTISED if row.accuracy else ''}" for row, name in zip(rows, names(rows), strict=True))
    columns = (
        Texts("meets", [row.meets for row in rows]),
        Texts("gpu", [row.gpu for row in rows]),
        Texts(CONFIGURATION, [*configurations]),
        *(value.texts(rows) for value in VALUES if prefill or value.title != FIRST_TOKEN),
        Texts("evidence", [_evidence(row) for row in rows]),
    )
    table = lines(columns, EXPENDABLE, width)
    return "\n".join([*table, "", *wrapped((*_legend(rows), *sentences, MORE), width)]) + "\n"


def _evidence(row: ChooseRow) -> str:
    sessions = f" ({row.sessions})" if row.sessions else ""
    basis = UNTESTED if row.untested else SHORT[row.basis]
    return f"{basis}{sessions}{f' {FLAGGED}' if row.flags else ''}"


def _number(value: float | None, form_: str, scale: float = 1.0) -> str | None:
    return None if value is None else format(value / scale, form_)


def _legend(rows: Sequence[ChooseRow]) -> Iterator[str]:
    if any(row.sessions for row in rows):
        yield "measured (n): here, in n sessions"
    if any(row.untested for row in rows):
        yield f"{UNTESTED}: predicted for an architecture without a record"
    if flags := sorted({flag for row in rows for flag in row.flags}):
        yield f"{FLAGGED} suspect: {', '.join(flags)} (docs/flags.md)"
    if caveats := dict.fromkeys(row.accuracy for row in rows if row.accuracy):
        yield f"{QUANTISED} {', '.join(caveats)}"
