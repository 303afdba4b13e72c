"""Rows as text: Markdown, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from analysis.row import Row
from runner.cell import jsonform

NOTHING = "–"
WORDS = "s"
"""The format of a column of words; every other is a number's."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    `key` is what it shows of a row (`Row.value`), `form` how a value is formatted after it was divided by `scale`.
    `unit` is that of the numbers shown, `help` what they mean. An `optional` column is left out where no row has a
    value; with `hides_zero` 0 is no value.
    """

    title: str
    key: str
    form: str = WORDS
    optional: bool = False
    scale: float = 1.0
    unit: str = ""
    help: str = ""
    hides_zero: bool = False

    def text(self, row: Row) -> str:
        """Returns the text of the column in a row."""
        value = row.value(self.key)
        if value is None or value == "" or (self.hides_zero and value == 0):
            return NOTHING
        if isinstance(value, list):
            return ", ".join(value)
        return format(value / self.scale if isinstance(value, int | float) and self.scale != 1 else value, self.form)

    def says_something(self, row: Row) -> bool:
        """True if the row has a value for the column."""
        return self.text(row) not in (NOTHING, "")


def shown_columns(rows: Sequence[Row], columns: Sequence[Column]) -> list[Column]:
    """Returns the columns that say something of these rows."""
    return [one for one in columns if not one.optional or any(map(one.says_something, rows))]


def markdown_table(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """Returns the lines of a Markdown table."""
    shown = shown_columns(rows, columns)
    lines = ["| " + " | ".join(column.title for column in shown) + " |", "|" + "---|" * len(shown)]
    return lines + ["| " + " | ".join(_cell(column.text(row)) for column in shown) + " |" for row in rows]


def _cell(text: str) -> str:
    """Escapes the bar, which ends a cell in Markdown: names come from other people's stores."""
    return text.replace("|", "\\|")


def telling(rows: Sequence[Row], named: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """Returns the candidates that tell rows apart which are alike in the fields already named."""
    added: list[str] = []
    for field in candidates:
        values = defaultdict(set)
        for row in rows:
            values[tuple(row.value(name) for name in (*named, *added))].add(row.value(field))
        if field not in named and any(len(different) > 1 for different in values.values()):
            added.append(field)
    return added


def titles(rows: Sequence[Row], named: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """Returns a name for each row: the named fields, and the candidates that tell rows apart."""
    fields = [*named, *telling(rows, named, candidates)]
    return [name(row, fields) for row in rows]


def name(row: Row, fields: Iterable[str]) -> str:
    """Returns the row's values of these fields in one line, without those that are empty."""
    return " ".join(str(value) for field in fields if (value := row.value(field)) not in (None, ""))


class Unshown(Protocol):
    """A row of sessions that are invalid or were not measured."""

    @property
    def status(self) -> str: ...
    @property
    def sessions(self) -> int: ...
    @property
    def superseded(self) -> int: ...
    @property
    def older_code(self) -> bool: ...
    @property
    def flags(self) -> list[str]: ...
    @property
    def reasons(self) -> list[str]: ...
    def value(self, key: str) -> object: ...


def sentences_of_invalid(rows: Iterable[Unshown], fields: Sequence[str]) -> list[str]:
    """Returns what is not in the table, and why: a line for each group that is invalid or was not measured."""
    lines = []
    for row in rows:
        what = "Invalid" if row.status == "measured" else f"Not measured ({row.status})"
        more = f" ({row.superseded} more of older code)" if row.superseded else ""
        older = " of older code" if row.older_code else more
        place = " ".join(str(row.value(field)) for field in fields if row.value(field) not in (None, ""))
        flags = f" [{', '.join(row.flags)}]" if row.flags else ""
        lines.append(f"- {what}, {row.sessions} sessions{older}: {place}{flags}: {' / '.join(row.reasons)}")
    return lines


def csv_text(rows: Sequence[Row]) -> str:
    """Returns one line a row; a list's items are joined by `; `, an object is JSON."""
    lines = [row.to_json() for row in rows]
    text = io.StringIO()
    names = list(dict.fromkeys(key for line in lines for key in line))
    writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _flat(value) for key, value in line.items()} for line in lines)
    return text.getvalue()


def _flat(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "; ".join(value)
    return json.dumps(value) if isinstance(value, list | dict | bool) else value


def json_text(value: object) -> str:
    """Returns rows, or any other value of dataclasses, as JSON."""
    return json.dumps(jsonform.to_json(value), indent=1) + "\n"
