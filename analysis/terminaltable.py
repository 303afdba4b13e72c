"""Tables at a terminal: aligned columns, as many as fit, one line for each row."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from analysis import protocoltitles
from analysis.cellcolumns import CELL
from analysis.form import NOTHING, WORDS, Column, unrepeated
from analysis.row import Row
from runner.layout import GAP, WIDTH

CONFIGURATION = "configuration"
"""Title of the column of `names`."""
PROTOCOL = "protocol"
FIELDS = [*CELL]
"""Fields of a cell in the order of their words in a name."""
ITEM = "- "
PROSE, NUMBERS = 22, 16
"""Width that a column of words, or of numbers with words, has at least before others are left out."""


@dataclass(frozen=True)
class Texts:
    """A column: its title, and its text in each row, `NOTHING` where a row has none. Numbers end at the right.

    If it `wraps`, its title and its words take several lines before another column is left out.
    """

    title: str
    texts: Sequence[str]
    is_number: bool = False
    wraps: bool = False

    @property
    def cells(self) -> tuple[str, ...]:
        """Returns the title and the texts."""
        return self.title, *self.texts

    @property
    def width(self) -> int:
        return max(map(len, self.cells))

    @property
    def least(self) -> int:
        """Returns the width below which a word, or a number, would be broken."""
        if self.is_number and not self.wraps:
            return self.width
        return max(len(word) for cell in self.cells for word in cell.split())

    @property
    def wanted(self) -> int:
        """Returns the width that the column needs beside others."""
        if not self.wraps:
            return self.width
        return max(self.least, min(max(map(len, self.texts)), NUMBERS if self.is_number else PROSE))

    @property
    def has_value(self) -> bool:
        return any(text not in (NOTHING, "") for text in self.texts)


def texts(column: Column, rows: Sequence[Row], wraps: bool = False) -> Texts:
    """Returns the texts of a table's column. It is of numbers if it has their format, or a unit."""
    is_number = column.form != WORDS or bool(column.unit)
    return Texts(column.title, [column.text(row) for row in rows], is_number, wraps)


def lines(columns: Sequence[Texts], expendable: Collection[str], width: int = WIDTH) -> list[str]:
    """Returns the columns that have a value and fit into the width, under their titles.

    `expendable` are titles of columns that a narrow terminal does without, the first to go first. If the others do
    not fit either, words are continued below.
    """
    shown = fitting(columns, expendable, width)
    widths = _widths(shown, width)
    head, *rows = zip(*(column.cells for column in shown), strict=True)
    above = _line(shown, widths, head, at_bottom=True)
    return [*above, *(line for row in rows for line in _line(shown, widths, row))]


def fitting(columns: Sequence[Texts], expendable: Collection[str], width: int = WIDTH) -> Sequence[Texts]:
    """Returns the columns that have a value, without expendable ones as far as the others would not fit."""
    columns = [column for column in columns if column.has_value]
    for title in expendable:
        if _total(column.wanted for column in columns) <= width:
            break
        columns = [column for column in columns if column.title != title]
    return columns


def _total(widths: Iterable[int]) -> int:
    return sum(width + len(GAP) for width in widths) - len(GAP)


def _widths(columns: Sequence[Texts], width: int) -> list[int]:
    """Returns the widths of the columns. Too wide ones are narrowed, the widest first: those that wrap, then others."""
    widths = [column.width for column in columns]
    for least in ([column.wanted for column in columns], [column.least for column in columns]):
        while _total(widths) > width:
            room = [place for place, each in enumerate(widths) if each > least[place]]
            if not room:
                break
            widths[max(room, key=lambda place: widths[place])] -= 1
    return widths


def _line(columns: Sequence[Texts], widths: Sequence[int], row: Sequence[str], at_bottom: bool = False) -> list[str]:
    """Returns the lines of a row."""
    cells = [_folded(text, width) for text, width in zip(row, widths, strict=True)]
    height = max(map(len, cells))
    filled = [[""] * (height - len(cell)) + cell if at_bottom else cell + [""] * (height - len(cell)) for cell in cells]
    placed = (
        [text.rjust(width) if column.is_number else text.ljust(width) for text in cell]
        for column, width, cell in zip(columns, widths, filled, strict=True)
    )
    return [GAP.join(line).rstrip() for line in zip(*placed, strict=True)]


def _folded(text: str, width: int) -> list[str]:
    if len(text) <= width:
        return [text]
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def wrapped(paragraphs: Iterable[str], width: int = WIDTH) -> list[str]:
    """Returns the lines of the paragraphs; those of an item of a list begin below its text."""
    return [
        line
        for each in paragraphs
        for line in textwrap.wrap(each, width, subsequent_indent="  " if each.startswith(ITEM) else "")
    ]


def more(what: str = "") -> str:
    """Returns the line that says where the rest of a table is."""
    return f"--format md shows every column{f', with {what}' if what else ''}"


def names(rows: Sequence[Row], place: Sequence[str], named: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """Returns each row's name: its `named` fields, and the candidates that tell it from others of its name and place.

    Each word is there once, as a kernel and its runtime may have one. Protocols have short names if these tell rows
    apart.
    """
    places = [tuple(row.value(field) for field in (*place, *named)) for row in rows]
    alike = defaultdict(list)
    for index, key in enumerate(places):
        alike[key].append(index)
    more = {index: fields for group in alike.values() for index, fields in _telling(rows, group, candidates)}
    fields = [sorted((*named, *more[index]), key=_order) for index in range(len(rows))]
    short, full = (
        [_name(row, of, is_short) for row, of in zip(rows, fields, strict=True)] for is_short in (True, False)
    )
    tells_apart = len({*zip(places, short, strict=True)}) == len({*zip(places, full, strict=True)})
    return short if tells_apart else full


def _order(field: str) -> int:
    return FIELDS.index(field) if field in FIELDS else len(FIELDS)


def _name(row: Row, fields: Sequence[str], is_short: bool) -> str:
    values = {field: row.value(field) for field in fields}
    if is_short and values.get(PROTOCOL):
        values[PROTOCOL] = protocoltitles.short(str(values[PROTOCOL]))
    return unrepeated(" ".join(str(value) for value in values.values() if value not in (None, "")))


def _telling(
    rows: Sequence[Row], group: Sequence[int], candidates: Sequence[str]
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yields each place of the group with the candidates that tell its row from the group's others."""
    if len(group) == 1 or not candidates:
        yield from ((index, ()) for index in group)
        return
    field, *others = candidates
    by_value = defaultdict(list)
    for index in group:
        by_value[rows[index].value(field)].append(index)
    added = (field,) if len(by_value) > 1 else ()
    for alike in by_value.values():
        yield from ((index, (*added, *fields)) for index, fields in _telling(rows, alike, others))
