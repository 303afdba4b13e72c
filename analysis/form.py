"""Rows as text: Markdown, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from analysis.percent import percent
from analysis.row import Row
from runner.cell import jsonform
from runner.counts import counted

NOTHING = "–"
WORDS = "s"
"""The format of a text column; all other formats are numeric."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    `key` names the value of a row (`Row.value`), `form` its format after division by `scale`. `unit` is the unit of the
    displayed numbers, `help` their meaning. An `optional` column is omitted if no row has a value. With `hides_zero`, 0
    counts as no value.
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
        if isinstance(value, int | float):
            scaled = value / self.scale if self.scale != 1 else value
            return percent(scaled, self.form) if self.form.endswith("%") else format(scaled, self.form)
        return format(value, self.form)

    def has_value(self, row: Row) -> bool:
        """Returns whether the row has a value for the column."""
        return self.text(row) not in (NOTHING, "")


def shown_columns(rows: Sequence[Row], columns: Sequence[Column]) -> list[Column]:
    """Returns the columns that are shown for these rows."""
    return [column for column in columns if not column.optional or any(map(column.has_value, rows))]


def markdown_table(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """Returns the lines of a Markdown table."""
    visible = shown_columns(rows, columns)
    lines = ["| " + " | ".join(column.title for column in visible) + " |", "|" + "---|" * len(visible)]
    return lines + ["| " + " | ".join(_cell(column.text(row)) for column in visible) + " |" for row in rows]


def _cell(text: str) -> str:
    """Returns the text with `|` escaped, which would end a Markdown cell. Names may come from foreign stores."""
    return text.replace("|", "\\|")


def distinguishing(rows: Sequence[Row], named: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """Returns the candidates that distinguish rows which agree in the named fields."""
    added: list[str] = []
    for field in candidates:
        values = defaultdict(set)
        for row in rows:
            values[tuple(row.value(name) for name in (*named, *added))].add(row.value(field))
        if field not in named and any(len(distinct) > 1 for distinct in values.values()):
            added.append(field)
    return added


def short_range(low: float, high: float | None) -> str:
    """Returns a range of three digits at each end; without a `high`, it has no upper end."""
    return f"{_three_digits(low)}–{'' if high is None else _three_digits(high)}"


def _three_digits(value: float) -> str:
    return format(value, ".3g" if value < 999.5 else ".0f")  # which has no exponent


def letters(marks: Iterable[Iterable[str]]) -> dict[str, str]:
    """Returns a letter for each mark of some rows, in the order of the marks."""
    return {mark: chr(ord("a") + place) for place, mark in enumerate(sorted({mark for row in marks for mark in row}))}


def titles(rows: Sequence[Row], named: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """Returns a name for each row: its named fields, and the candidates that distinguish rows."""
    fields = [*named, *distinguishing(rows, named, candidates)]
    return [name(row, fields) for row in rows]


def name(row: Row, fields: Iterable[str]) -> str:
    """Returns the row's non-empty values of these fields in one line."""
    return " ".join(str(value) for field in fields if (value := row.value(field)) not in (None, ""))


def unrepeated(text: str) -> str:
    """Returns the text with each word once, as a kernel and its runtime may have one."""
    return " ".join(dict.fromkeys(text.split()))


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
    """Returns a line for each group that is invalid or was not measured, with its reasons."""
    lines = []
    for row in rows:
        what = "Invalid" if row.status == "measured" else f"Not measured ({row.status})"
        more = f" ({row.superseded} more of older code)" if row.superseded else ""
        older = " of older code" if row.older_code else more
        place = " ".join(str(row.value(field)) for field in fields if row.value(field) not in (None, ""))
        flags = f" [{', '.join(row.flags)}]" if row.flags else ""
        lines.append(f"- {what}, {counted(row.sessions, 'session')}{older}: {place}{flags}: {' / '.join(row.reasons)}")
    return lines


def csv_text(rows: Sequence[Row]) -> str:
    """Returns rows as CSV. The items of a list are joined by `; `; an object is written as JSON."""
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
    """Returns rows, or any other dataclass value, as JSON."""
    return json.dumps(jsonform.to_json(value), indent=1) + "\n"
