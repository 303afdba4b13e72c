"""The choose table as text for a terminal: as many columns as fit, one line for each row."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from analysis.choose.candidate import MEASURED, PREDICTED, PUBLISHED
from analysis.choose.choosecolumns import names
from analysis.choose.chooserow import ChooseRow
from analysis.form import NOTHING
from runner.layout import GAP, WIDTH, aligned

SHORT: Mapping[str, str] = {MEASURED: "measured", PUBLISHED: "paper", PREDICTED: "predicted"}
UNTESTED = "untested"
FLAGGED, QUANTISED = "!", "*"
TITLES = ("meets", "gpu", "configuration", "ms/step", "p99 ≤", "miss ≤", "J/token", "$/Mtok", "GB left", "evidence")
NUMERIC = TITLES[3:9]
EXPENDABLE = ("GB left", "J/token", "miss ≤", "p99 ≤", "$/Mtok")
"""Columns that a narrow terminal does without, the first to go first."""
MORE = "--format md shows every column, with flags and notes"


def text(rows: Sequence[ChooseRow], sentences: Sequence[str], width: int = WIDTH) -> str:
    """Returns the rows as aligned columns, the meaning of their marks, and the sentences."""
    lines = [TITLES, *(tuple(_cells(row, name)) for row, name in zip(rows, names(rows), strict=True))]
    shown = _fitting(lines, width)
    table = aligned([tuple(line[place] for place in shown) for line in lines], NUMERIC, width)
    below = [line for each in (*_legend(rows), *sentences, MORE) for line in textwrap.wrap(each, width)]
    return "\n".join([*table, "", *below]) + "\n"


def _cells(row: ChooseRow, name: str) -> Iterator[str]:
    yield from (row.meets, row.gpu, f"{name}{QUANTISED if row.accuracy else ''}")
    yield row.short_step_words
    yield _number(row.p99_ms, ".2f")
    yield NOTHING if row.miss_upper is None else f"{100 * row.miss_upper:.3g} %"
    yield row.joules_words or NOTHING
    yield _number(row.usd_per_mtok, ".2f")
    yield _number(None if row.memory_left_bytes is None else row.memory_left_bytes / 1e9, ".1f")
    sessions = f" ({row.sessions})" if row.sessions else ""
    basis = UNTESTED if row.untested else SHORT[row.basis]
    yield f"{basis}{sessions}{f' {FLAGGED}' if row.flags else ''}"


def _number(value: float | None, form_: str) -> str:
    return NOTHING if value is None else format(value, form_)


def _fitting(lines: Sequence[Sequence[str]], width: int) -> list[int]:
    """Returns the places of the columns that have a value and fit into the width."""
    head, *body = lines
    shown = [place for place, title in enumerate(head) if any(line[place] != NOTHING for line in body)]
    for title in EXPENDABLE:
        if sum(max(len(line[place]) for line in lines) + len(GAP) for place in shown) - len(GAP) <= width:
            break
        shown = [place for place in shown if head[place] != title]
    return shown


def _legend(rows: Sequence[ChooseRow]) -> Iterator[str]:
    if any(row.sessions for row in rows):
        yield "measured (n): here, in n sessions"
    if any(row.untested for row in rows):
        yield f"{UNTESTED}: predicted for an architecture without a record"
    if flags := sorted({flag for row in rows for flag in row.flags}):
        yield f"{FLAGGED} suspect: {', '.join(flags)} (docs/flags.md)"
    if caveats := dict.fromkeys(row.accuracy for row in rows if row.accuracy):
        yield f"{QUANTISED} {', '.join(caveats)}"
