"""A table at a terminal: of each part the most telling columns that fit, then the sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from analysis.cellcolumns import CELL
from analysis.form import Column, letters
from analysis.row import Row
from analysis.table import Part, Table
from analysis.terminaltable import CONFIGURATION, Texts, lines, more, names, texts, wrapped
from runner.layout import WIDTH

CONFIGURED = CELL.keys() - {"gpu", "model", "ctx"}
"""Fields of a cell that are words of its configuration."""
FLAGS = "flags"
MARKS = (FLAGS, "marks")
"""Keys of columns with a row's flags."""
SESSIONS = "the sessions of each row"


def text(table: Table[Row], rows: Sequence[Row], width: int = WIDTH) -> str:
    """Returns the parts that have rows, the remark and the sentences, and where the other columns are."""
    first, *others = table.grids(rows)
    parts = [line for part in (first, *(part for part in others if part.rows)) for line in (*_lines(part, width), "")]
    remark = table.remark(rows)
    paragraphs = [*([remark] if remark else []), *table.lines_below(rows)]
    below = [*wrapped(paragraphs, width), ""] if paragraphs else []
    return "\n".join([*parts, *below, more("" if table.traces is None else SESSIONS)]) + "\n"


def part_text(part: Part, width: int = WIDTH) -> str:
    """Returns one part, and where its other columns are."""
    return "\n".join([*_lines(part, width), "", more()]) + "\n"


def _lines(part: Part, width: int) -> Iterator[str]:
    if not part.rows:
        yield from wrapped([part.nothing or f"{part.caption}: none"], width)
        return
    marks = [_marks(part, row) for row in part.rows]
    letter_by_mark = letters(marks)
    flags = Texts(FLAGS, ["".join(letter_by_mark[mark] for mark in sorted(row)) for row in marks])
    values = [column for column in _shown(part, part.layout.others) if column.key not in MARKS]
    columns = (*_naming(part), *(_with_unit(column, part.rows) for column in values), flags)
    yield from (*wrapped([f"{part.caption}:"], width), "", *lines(columns, _expendable(part, values), width))
    if letter_by_mark:
        meanings = ", ".join(f"{letter} {mark}" for mark, letter in letter_by_mark.items())
        yield from ("", *wrapped([f"{FLAGS}: {meanings} (docs/flags.md)"], width))


def _shown(part: Part, columns: Iterable[Column]) -> list[Column]:
    return [column for column in columns if column.key in part.layout.first or column.key in part.named]


def _naming(part: Part) -> Iterator[Texts]:
    """Yields the columns that identify a row. The words of its configuration, and those that tell it from a row like
    it, are one column."""
    shown = _shown(part, part.layout.naming)
    own = [column for column in shown if column.key not in CONFIGURED]
    named = [column.key for column in shown if column.key in CONFIGURED]
    others = [column.key for column in part.layout.naming if column not in shown]
    yield from (texts(column, part.rows, wraps=True) for column in own)
    yield Texts(CONFIGURATION, names(part.rows, [column.key for column in own], named, others), wraps=True)


def _expendable(part: Part, values: Sequence[Column]) -> list[str]:
    """Returns the titles of the columns that a narrow terminal does without, the first to go first."""
    by_key = {column.key: column for column in values}
    keys = part.expendable or [*reversed(by_key)][:-1]
    return [_title(by_key[key]) for key in keys if key in by_key]


def _with_unit(column: Column, rows: Sequence[Row]) -> Texts:
    return replace(texts(column, rows, wraps=True), title=_title(column))


def _title(column: Column) -> str:
    """Returns the title with the unit, unless it has one."""
    has_unit = not column.unit.isalpha() or column.unit in column.title
    return column.title if has_unit else f"{column.title} {column.unit}"


def _marks(part: Part, row: Row) -> Sequence[str]:
    """Returns the row's flags, and further marks if its part has any."""
    key = next((column.key for column in part.columns if column.key in MARKS), None)
    found = None if key is None else row.value(key)
    return found if isinstance(found, list) else ()
