"""Tables at a terminal: aligned columns, as many as fit, one line for each row."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from analysis.form import NOTHING, WORDS, Column, distinguishing, name, unrepeated
from analysis.row import Row
from runner.layout import GAP, WIDTH, aligned

CONFIGURATION = "configuration"
"""Title of the column of `names`."""


@dataclass(frozen=True)
class Texts:
    """A column: its title, and its text in each row, `NOTHING` where a row has none. Numbers end at the right."""

    title: str
    texts: Sequence[str]
    is_number: bool = False

    @property
    def width(self) -> int:
        return max(map(len, (self.title, *self.texts)))

    @property
    def has_value(self) -> bool:
        return any(text not in (NOTHING, "") for text in self.texts)


def texts(column: Column, rows: Sequence[Row]) -> Texts:
    """Returns the texts of a table's column. It is of numbers if it has their format, or a unit."""
    return Texts(column.title, [column.text(row) for row in rows], column.form != WORDS or bool(column.unit))


def lines(columns: Sequence[Texts], expendable: Collection[str], width: int = WIDTH) -> list[str]:
    """Returns the columns that have a value and fit into the width, under their titles.

    `expendable` are titles of columns that a narrow terminal does without, the first to go first.
    """
    shown = _fitting([column for column in columns if column.has_value], expendable, width)
    cells = [(column.title, *column.texts) for column in shown]
    if shown[-1].is_number:  # the last column is wrapped, and not aligned
        cells[-1] = tuple(text.rjust(shown[-1].width) for text in cells[-1])
    return aligned([*zip(*cells, strict=True)], [column.title for column in shown if column.is_number], width)


def _fitting(columns: Sequence[Texts], expendable: Collection[str], width: int) -> Sequence[Texts]:
    for title in expendable:
        if sum(column.width + len(GAP) for column in columns) - len(GAP) <= width:
            break
        columns = [column for column in columns if column.title != title]
    return columns


def wrapped(paragraphs: Iterable[str], width: int = WIDTH) -> list[str]:
    """Returns the lines of the paragraphs."""
    return [line for each in paragraphs for line in textwrap.wrap(each, width)]


def more(what: str) -> str:
    """Returns the line that says where the rest of a table is."""
    return f"--format md shows every column, with {what}"


def names(rows: Sequence[Row], place: Sequence[str], named: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """Returns each row's name: its `named` fields, and the candidates that tell it from others of its name and place.

    Each word is there once, as a kernel and its runtime may have one.
    """
    alike = defaultdict(list)
    for row in rows:
        alike[_key(row, place, named)].append(row)
    more = {key: distinguishing(group, (), candidates) if len(group) > 1 else [] for key, group in alike.items()}
    return [unrepeated(name(row, (*named, *more[_key(row, place, named)]))) for row in rows]


def _key(row: Row, place: Sequence[str], named: Sequence[str]) -> tuple[object, ...]:
    return tuple(row.value(field) for field in (*place, *named))
