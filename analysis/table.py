"""What a table is. Its command, its texts, its section and glossary in a report all follow from one `Table`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from analysis.form import Column, markdown_table
from analysis.reading import Reading
from analysis.row import Row

if TYPE_CHECKING:
    from analysis.figures.style import Drawn

R = TypeVar("R", bound=Row)
RowsByTable = Mapping[str, Sequence[Row]]
"""Name of a table → its rows."""


@dataclass(frozen=True)
class Part:
    """One grid of a table: rows with the columns that are shown of them.

    `name` is its anchor in a report, `caption` says what the rows are. The columns before the one of the key `count`
    say what a row is. The keys in `first` come right after them on the page, since a small screen shows no more. The
    column of the key `linked` leads to the row's origin. Words under the keys `by_number` are sorted by the number they
    begin with. `nothing` is what the page says where there is no row.
    """

    name: str
    caption: str
    rows: Sequence[Row]
    columns: Sequence[Column]
    count: str = "sessions"
    first: tuple[str, ...] = ()
    linked: str = "sessions"
    by_number: tuple[str, ...] = ()
    nothing: str = ""

    def markdown(self) -> str:
        """Returns the rows as a Markdown table."""
        return "\n".join(markdown_table(self.rows, self.columns)) + "\n"


@dataclass(frozen=True)
class Figure(Generic[R]):
    """A figure of a table's rows. `draw` returns None where there is nothing to show; `below`: it stands below the
    table in a report."""

    name: str
    draw: Callable[[Sequence[R], Reading], Drawn | None]
    below: bool = False


@dataclass(frozen=True, kw_only=True)
class Table(Generic[R]):
    """A table; a module of `analysis.tables` declares one as `TABLE`.

    What every table has: its `name` (of its command and anchor), a `title`, the `columns` that it may show, and its
    `rows` of what was read. All else has a default.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: Callable[[Reading], Sequence[R]]
    metrics: tuple[str, ...] = ()
    """metrics and optional columns that its frame must have (see `analysis.sources.columns`)"""
    order: int = 100
    """tables stand in this order, and alike ones by name"""
    help: str = ""
    """help text of the command; the title without it"""
    heading: str = ""
    """heading of its section in a report; the title without it"""
    intro: str | Callable[[Sequence[R]], str] = ""
    """the section's first paragraph, or a function that makes it of the rows"""
    parts: Callable[[Sequence[R]], Iterable[Part]] | None = None
    """its grids, the first named like the table; one grid of all rows and columns without it"""
    excerpts: Mapping[str, str] = field(default_factory=dict)
    """name of a further part → help text of the option that prints this part alone"""
    note: Callable[[Sequence[R]], str] | None = None
    """a paragraph below the grids"""
    sentences: Callable[[Sequence[R]], Sequence[str]] | None = None
    """what is to be said of the rows"""
    summary: str = "In words"
    """the title of the sentences in a report"""
    lines: Callable[[Sequence[R]], Sequence[str]] | None = None
    """the lines below the Markdown table; the sentences, one a line, without it"""
    origin: Callable[[R, RowsByTable], str | None] | None = None
    """the anchor in a report that a row leads to, given the rows of all tables; the row's own without it"""
    figures: tuple[Figure[R], ...] = ()
    """the command draws the first of them"""
    only_compared: bool = False
    """its rows are A/Bs: only their sessions are read"""
    has_codes: bool = True
    """the command can show the sessions of older code, too"""
    missing: str = ""
    """what is wrong and what to do where there is no row at all; empty if that is no error"""

    def grids(self, rows: Sequence[R]) -> list[Part]:
        """Returns the parts for these rows."""
        if self.parts is None:
            return [Part(self.name, self.title, rows, self.columns)]
        return list(self.parts(rows))

    def part(self, name: str, rows: Sequence[R]) -> Part:
        """Returns one of the parts by its name."""
        return next(part for part in self.grids(rows) if part.name == name)

    def opening(self, rows: Sequence[R]) -> str:
        """Returns the first paragraph of the section."""
        return self.intro if isinstance(self.intro, str) else self.intro(rows)

    def remark(self, rows: Sequence[R]) -> str:
        """Returns the paragraph below the grids, empty if there is none."""
        return "" if self.note is None else self.note(rows)

    def said(self, rows: Sequence[R]) -> Sequence[str]:
        """Returns the sentences on these rows."""
        return () if self.sentences is None else self.sentences(rows)

    def markdown(self, rows: Sequence[R]) -> str:
        """Returns the parts as Markdown tables, and below them what is to be said of them."""
        first, *others = self.grids(rows)
        grids = [part.markdown() for part in (first, *(part for part in others if part.rows))]
        lines = [f"- {sentence}" for sentence in self.said(rows)] if self.lines is None else self.lines(rows)
        below = ("\n".join(text) for text in ([self.remark(rows)], lines))
        return "\n".join([*grids, *(f"{text}\n" for text in below if text)])
