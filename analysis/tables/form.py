"""Rows as text: Markdown, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

NOTHING = "–"


@dataclass(frozen=True)
class Column:
    """A column of a Markdown table: its title, the row's key, how a value is formatted. `optional`: left out where no
    row has a value. `scale` divides a number before it is shown."""

    title: str
    key: str
    form: str = "s"
    optional: bool = False
    scale: float = 1.0

    def text(self, row: Row) -> str:
        value = row.get(self.key)
        if value is None or value == "":
            return NOTHING
        if isinstance(value, list):
            return ", ".join(value)
        return format(value if self.scale == 1 else value / self.scale, self.form)


FLAGS = Column("flags", "flags")


def shown_columns(rows: Sequence[Row], columns: Sequence[Column]) -> list[Column]:
    """Those that say something of these rows."""
    return [one for one in columns if not one.optional or any(row.get(one.key) not in (None, "", []) for row in rows)]


def markdown_table(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """Lines of a Markdown table."""
    shown = shown_columns(rows, columns)
    lines = ["| " + " | ".join(column.title for column in shown) + " |", "|" + "---|" * len(shown)]
    return lines + ["| " + " | ".join(_cell(column.text(row)) for column in shown) + " |" for row in rows]


def _cell(text: str) -> str:
    """As Markdown's tables take it: names come from other people's stores."""
    return text.replace("|", "\\|")


def telling(rows: Sequence[Row], named: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """Of the candidates those that tell rows apart which are alike in the fields already named."""
    added: list[str] = []
    for field in candidates:
        values = defaultdict(set)
        for row in rows:
            values[tuple(row[name] for name in (*named, *added))].add(row[field])
        if field not in named and any(len(different) > 1 for different in values.values()):
            added.append(field)
    return added


def titles(rows: Sequence[Row], named: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """What to call each row: these fields, and of the candidates those that tell rows apart."""
    fields = [*named, *telling(rows, named, candidates)]
    return [" ".join(str(row[field]) for field in fields if row[field] not in (None, "")) for row in rows]


def sentences_of_invalid(rows: Iterable[Row], fields: Sequence[str]) -> list[str]:
    """What is not in the table, and why: one line for each group that is invalid or was not measured."""
    lines = []
    for row in rows:
        what = "Invalid" if row["status"] == "measured" else f"Not measured ({row['status']})"
        more = f" ({row['superseded']} more of older code)" if row["superseded"] else ""
        older = " of older code" if row["older_code"] else more
        name = " ".join(str(row[field]) for field in fields if row[field] not in (None, ""))
        flags = f" [{', '.join(row['flags'])}]" if row["flags"] else ""
        lines.append(f"- {what}, {row['sessions']} sessions{older}: {name}{flags}: {' / '.join(row['reasons'])}")
    return lines


def csv_text(rows: Sequence[Row]) -> str:
    """One line a row; a list's items are joined by `; `, an object is JSON."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, fieldnames=list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows({key: _flat(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _flat(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "; ".join(value)
    return json.dumps(value) if isinstance(value, list | dict | bool) else value


def json_text(rows: Any) -> str:
    return json.dumps(rows, indent=1) + "\n"
