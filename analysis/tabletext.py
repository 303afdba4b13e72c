"""A table at a terminal: of each part the most telling columns that fit, then the sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from analysis.cellcolumns import CELL
from analysis.form import Column, letters
from analysis.table import Part, R, Table
from analysis.terminaltable import CONFIGURATION, Texts, lines, more, names, texts, wrapped
from runner.layout import WIDTH

PLACE = ("gpu", "model", "ctx")
CONFIGURED = CELL.keys() - PLACE
"""Fields of a cell that are words of its configuration."""
CELL_WORDS = "cell"
"""Title of the words that tell a cell from others, where no configuration is named."""
FLAGS = "flags"
MARKS = (FLAGS, "marks")
"""Keys of columns with a row's flags."""
SESSIONS = "the sessions of each row"


def text(table: Table[R], rows: Sequence[R], width: int = WIDTH) -> str:
    """Returns the parts that have rows, the remark and the sentences, and where the other columns are."""
    first, *others = table.grids(rows)
    parts = [line for part in (first, *(part for part in others if part.rows)) for line in (*_lines(part, width), "")]
    remark = table.remark(rows)
    paragraphs = [*([remark] if remark else []), *table.lines_below(rows)]
    below = [*wrapped(paragraphs, width), ""] if paragraphs else []
    last = more("" if table.traces is None else SESSIONS)
    return "\n".join([*parts, *below, *wrapped([last], width)]) + "\n"


def part_text(part: Part, width: int = WIDTH) -> str:
    """Returns one part, and where its other columns are."""
    return "\n".join([*_lines(part, width), "", more()]) + "\n"


def _lines(part: Part, width: int) -> Iterator[str]:
    if not part.rows:
        yield from wrapped([part.nothing or f"{part.caption}: none"], width)
        return
    common = ", ".join(f"{column.title} {column.text(part.rows[0])}" for column in _common(part))
    yield from wrapped([f"{part.caption}{f' ({common})' if common else ''}:"], width)
    yield from ("", *lines([*columns(part)], expendable(part), width))
    if letter_by_mark := letters(_marks(part)):
        meanings = ", ".join(f"{letter} {mark}" for mark, letter in letter_by_mark.items())
        yield from ("", *wrapped([f"{FLAGS}: {meanings} (docs/flags.md)"], width))


def columns(part: Part) -> Iterator[Texts]:
    """Yields the columns of a part that a terminal shows: those that identify a row, its values, and its flags."""
    common = _common(part)
    yield from (texts(column, part.rows, wraps=True) for column in _own(part) if column not in common)
    yield _configurations(part)
    yield from (replace(texts(column, part.rows, wraps=True), title=_title(column)) for column in _values(part))
    marks = _marks(part)
    letter_by_mark = letters(marks)
    yield Texts(FLAGS, ["".join(letter_by_mark[mark] for mark in sorted(row)) for row in marks])


def expendable(part: Part) -> list[str]:
    """Returns the titles of the columns that a narrow terminal does without, the first to go first."""
    values = _values(part)
    titles = {column.key: column.title for column in _own(part)} | {column.key: _title(column) for column in values}
    keys = part.expendable or [column.key for column in reversed(values[1:])]
    return [titles[key] for key in keys if key in titles]


def _shown(part: Part, columns: Iterable[Column]) -> list[Column]:
    return [column for column in columns if column.key in part.layout.first or column.key in part.named]


def _own(part: Part) -> list[Column]:
    """Returns the naming columns that are no words of a configuration."""
    return [column for column in _shown(part, part.layout.naming) if column.key not in CONFIGURED]


def _common(part: Part) -> list[Column]:
    """Returns the columns of the place that several rows have in common."""
    places = [column for column in _own(part) if column.key in PLACE and len(part.rows) > 1]
    return [column for column in places if len({column.text(row) for row in part.rows}) == 1]


def _configurations(part: Part) -> Texts:
    """Returns the column of the other naming words, and of those that tell a row from others like it."""
    shown, own = _shown(part, part.layout.naming), _own(part)
    named = [column.key for column in shown if column not in own]
    others = [*part.telling, *(column.key for column in part.layout.naming if column not in shown)]
    found = names(part.rows, [column.key for column in own], named, others)
    return Texts(CONFIGURATION if named else CELL_WORDS, found, wraps=True)


def _values(part: Part) -> list[Column]:
    return [column for column in _shown(part, part.layout.others) if column.key not in MARKS]


def _title(column: Column) -> str:
    """Returns the title with the unit, unless it has one."""
    has_unit = not column.unit.isalpha() or column.unit in column.title
    return column.title if has_unit else f"{column.title} {column.unit}"


def _marks(part: Part) -> list[Sequence[str]]:
    """Returns the flags of each row, with its further marks if the part has any."""
    key = next((column.key for column in part.columns if column.key in MARKS), FLAGS)
    return [getattr(row, key, None) or [] for row in part.rows]
