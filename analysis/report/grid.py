"""Tables of the page: the cells of the Markdown tables, with links to the origin of a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from analysis.form import NOTHING, WORDS, Column
from analysis.row import Row
from analysis.table import Layout, Part, Typed

NAME = "what"
WIDE, SMALL = "wide", "small"
"""Screen classes. A small screen replaces the columns that name a row by one cell with all of their words, on a line of
its own above the row's values."""


@dataclass(frozen=True)
class Head:
    """A column head. With `is_number` the column is sorted by value. `screen` limits it to one screen class, None to
    none. The page shows a column with `on_demand` only among all columns. The text of a column that `wraps` may take
    several lines. `key` names the column for the page's script."""

    title: str
    is_number: bool
    screen: str | None = None
    on_demand: bool = False
    wraps: bool = False
    key: str = ""

    @property
    def classes(self) -> str:
        """Returns the classes of the column's cells."""
        marks = {"number": self.is_number, "more": self.on_demand, "words": self.wraps}
        return " ".join(filter(None, (self.screen, *(mark for mark, is_set in marks.items() if is_set))))


@dataclass(frozen=True)
class Cell:
    """A cell. `to` is the anchor that its text links to. `detail` is text below it while the columns on demand are
    hidden: the values of those that name the row, or that few rows have a value for."""

    text: str
    to: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class Line:
    """A row of the grid. `anchor` is its id on the page, `filters` has its values for each filter of the page, `typed`
    its data for a typed number."""

    anchor: str | None
    filters: Mapping[str, tuple[str, ...]]
    cells: tuple[Cell, ...]
    typed: str = ""


@dataclass(frozen=True)
class Grid:
    """A table of the page. `name` is unique on the page, `title` describes the rows, `nothing` is shown without
    rows. A number may be `typed` above it."""

    name: str
    title: str
    heads: tuple[Head, ...]
    rows: tuple[Line, ...]
    nothing: str
    typed: Typed | None = None

    @property
    def column_count(self) -> int:
        """Returns the number of all columns on a wide screen."""
        return sum(head.screen != SMALL for head in self.heads)

    @property
    def value_count(self) -> int:
        """Returns the number of columns beside the name on a small screen."""
        return sum(head.screen is None for head in self.heads)

    @property
    def first_value_count(self) -> int:
        """Returns the number of these columns that are shown at first."""
        return sum(head.screen is None and not head.on_demand for head in self.heads)

    @property
    def is_cut(self) -> bool:
        """Returns whether some columns are shown on demand only."""
        return any(head.on_demand for head in self.heads)


def row_anchor(name: str, row: Row) -> str | None:
    """Returns the id of a row in the grid of the part with this name, None if the row has no anchor."""
    return None if row.anchor is None else f"{name}-{row.anchor}"


def grid(part: Part, origins: Sequence[str | None]) -> Grid:
    """Returns the grid of a table's part, with the anchors of its rows' origins.

    A small screen shows the name of a row instead of the columns that name it. The name and the linked columns link to
    the origin.
    """
    layout = part.layout
    heads = (Head(NAME, False, SMALL), *_heads(part, layout))
    rows = (_line(part, layout, row, to) for row, to in zip(part.rows, origins, strict=True))
    return Grid(f"table-{part.name}", part.caption, heads, tuple(_distinct(rows)), part.nothing, part.typed)


def _distinct(rows: Iterable[Line]) -> Iterator[Line]:
    """Yields the rows. Only the first of several with one origin keeps its anchor, since an id is unique on a page."""
    seen: set[str | None] = set()
    for row in rows:
        yield replace(row, anchor=None) if row.anchor in seen else row
        seen.add(row.anchor)


def _heads(part: Part, layout: Layout) -> Iterator[Head]:
    for column in layout.naming:
        yield Head(column.title, column.form != WORDS, WIDE, column.key not in layout.first, key=column.key)
    for column in layout.others:
        is_text = column.form == WORDS
        is_number = not is_text or column.key in part.by_number
        yield Head(column.title, is_number, None, column.key not in layout.first, is_text, column.key)


def _line(part: Part, layout: Layout, row: Row, to: str | None) -> Line:
    name = Cell(_words(row, layout.naming), to)
    cells = (
        Cell(column.text(row), to if column.key in part.linked else None, _detail(part, layout, row, column))
        for column in (*layout.naming, *layout.others)
    )
    typed = "" if part.typed is None else part.typed.data(row)
    return Line(row_anchor(part.name, row), filters(row, part.filters), (name, *cells), typed)


def _detail(part: Part, layout: Layout, row: Row, column: Column) -> str:
    """Returns the values of columns on demand that are below a cell of this column."""
    if column is layout.detailed:
        return _words(row, layout.unseen)
    below = (other for key in part.below.get(column.key, ()) for other in layout.others if other.key == key)
    return ", ".join(f"{other.title} {other.text(row)}" for other in below if other.has_value(row))


def _words(row: Row, columns: Sequence[Column]) -> str:
    return " ".join(text for column in columns if (text := column.text(row)) != NOTHING)


def filters(row: Row, keys_by_filter: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Returns the row's values for each filter that it has a value for."""
    found = {
        name: tuple(str(value) for key in keys if (value := getattr(row, key, None)))
        for name, keys in keys_by_filter.items()
    }
    return {name: values for name, values in found.items() if values}
