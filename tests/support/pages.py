"""The page of a report as its readers get it, and reports with other rows."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from analysis.report import page
from analysis.report.contents import Contents


class Page(HTMLParser):
    """Tags with their attributes, and the cells of each table."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._table: list[list[str]] = []
        self._cell: list[str] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self._table = self.tables.setdefault(str(dict(attrs)["id"]), [])
        elif tag == "tr":
            self._table.append([])
        elif tag in ("td", "th"):
            self._table[-1].append("")
            self._cell = self._table[-1]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self._cell[-1] = self._cell[-1].strip()
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell[-1] += re.sub(r"\s*\n\s*", "", data)


def with_frame(found: Contents, **changes: Any) -> Contents:
    """The contents with changes of their frame."""
    return replace(found, reading=replace(found.reading, frame=replace(found.frame, **changes)))


def with_rows(found: Contents, **rows: Any) -> Contents:
    """The contents with other rows of these tables."""
    return replace(found, rows={**found.rows, **rows})


def html_of(found: Contents) -> str:
    """The page with its figures."""
    return page.html(found, page.pictures(found))
