"""The declaration of a table. Its command, texts, report section and glossary follow from one `Table`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from analysis.form import WORDS, Column, markdown_table, shown_columns
from analysis.question import Question
from analysis.reading import Reading
from analysis.row import Row

if TYPE_CHECKING:
    from analysis.figures.style import Drawn

R = TypeVar("R", bound=Row)
RowsByTable = Mapping[str, Sequence[Row]]
"""Rows by name of the table."""
FILTERS: Mapping[str, tuple[str, ...]] = {name: (name,) for name in ("gpu", "model", "quant", "runtime")}
"""The filters of a page, with the keys of their values in a row."""
SHOWN = 10
"""Most columns that a page shows at first."""


@dataclass(frozen=True)
class Typed:
    """A number that the reader of a page may type above a grid, whose rows the page's script then marks and sorts.

    `value` is the number that the rows are made for, in `unit`, and `said` the text beside it. `data` makes the data of
    a row that the script needs, as JSON.
    """

    label: str
    unit: str
    value: float
    said: str
    data: Callable[[Any], str]


@dataclass(frozen=True)
class Layout:
    """The columns of a part by weight: `naming` columns, then the others. `first` has the keys of those that are shown
    at first."""

    naming: tuple[Column, ...]
    others: tuple[Column, ...]
    first: frozenset[str]

    @property
    def unseen(self) -> list[Column]:
        """Returns the naming columns that are shown on demand."""
        return [column for column in self.naming if column.key not in self.first]

    @property
    def detailed(self) -> Column | None:
        """Returns the column whose cells have the values of `unseen` as a detail: the last naming text at first."""
        seen = [column for column in self.naming if column.key in self.first and column.form == WORDS]
        return seen[-1] if seen else None


def _by_weight(columns: Sequence[Column], first: Sequence[str]) -> tuple[Column, ...]:
    """Returns the columns with the keys `first` in that order, then the others."""
    order = {key: place for place, key in enumerate(first)}
    return tuple(sorted(columns, key=lambda column: order.get(column.key, len(order))))


@dataclass(frozen=True)
class Part:
    """One grid of a table: rows and the columns that show them.

    `name` is its anchor in a report, `caption` describes the rows. The columns before the one with the key `count` name
    a row. A page shows the columns with the keys `first` at first and the others on demand; without `first`, these are
    the first ten. A terminal shows only those, and the naming ones with the keys `named`;
    the fields `telling` tell a row's name from those of rows like it. A narrow one does without
    those with the keys `expendable`, the first to go first; without `expendable`, the last value in `first` goes first.
    `below` maps the key of a column that is shown at first to those of columns on demand that few rows have a value
    for: until they are shown, their values are below its own. The columns with the keys `linked` link to the row's
    origin. Columns with the keys `by_number` contain text that is sorted by its leading number. `filters` maps each
    filter of a page to the keys of its values in a row. The page shows `nothing` if there are no rows. A number may be
    `typed` above the grid.
    """

    name: str
    caption: str
    rows: Sequence[Row]
    columns: Sequence[Column]
    count: str = "sessions"
    first: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    telling: tuple[str, ...] = ()
    expendable: tuple[str, ...] = ()
    below: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    linked: tuple[str, ...] = ("sessions", "step_wall_ms")
    by_number: tuple[str, ...] = ()
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: FILTERS)
    nothing: str = ""
    typed: Typed | None = None

    @property
    def layout(self) -> Layout:
        """Returns the columns by weight."""
        count = next((place for place, column in enumerate(self.columns) if column.key == self.count), 1)
        naming, others = self.columns[:count], shown_columns(self.rows, self.columns[count:])
        first = self.first or tuple(column.key for column in (*naming, *others))[:SHOWN]
        return Layout(_by_weight(naming, first), _by_weight(others, first), frozenset(first))

    def markdown(self) -> str:
        """Returns the rows as a Markdown table, or the sentence `nothing` without rows."""
        if not self.rows and self.nothing:
            return f"{self.nothing}\n"
        return "\n".join(markdown_table(self.rows, self.columns)) + "\n"


@dataclass(frozen=True)
class Figure(Generic[R]):
    """A figure of a table's rows. `draw` returns None if there is nothing to show. With `below` it follows the table in
    a report."""

    name: str
    draw: Callable[[Sequence[R], Reading], Drawn | None]
    below: bool = False


@dataclass(frozen=True, kw_only=True)
class Table(Generic[R]):
    """A table. A module of `analysis.tables` declares it as `TABLE`.

    Required are its `name` (also of its command and anchor), a `title`, all `columns` that it may show, and `rows`,
    which makes the rows from a reading. The other fields have defaults.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: Callable[[Reading], Sequence[R]]
    metrics: tuple[str, ...] = ()
    """metrics and optional columns that its frame must have (see `analysis.sources.columns`)"""
    order: int = 100
    """position among the tables; equal positions are sorted by name"""
    help: str = ""
    """help text of the command; default: the title"""
    heading: str = ""
    """heading of its section in a report; default: the title"""
    intro: str | Callable[[Sequence[R]], str] = ""
    """first paragraph of the section, or a function that makes it from the rows"""
    parts: Callable[[Sequence[R]], Iterable[Part]] | None = None
    """makes its grids, the first named like the table; default: one grid of all rows and columns"""
    excerpts: Mapping[str, str] = field(default_factory=dict)
    """name of a further part → help text of the option that prints only this part"""
    note: Callable[[Sequence[R]], str] | None = None
    """makes a paragraph below the grids"""
    sentences: Callable[[Sequence[R]], Sequence[str]] | None = None
    """makes statements about the rows"""
    summary: str = "In words"
    """title of the statements in a report"""
    lines: Callable[[Sequence[R]], Sequence[str]] | None = None
    """makes the lines below the tables; default: one per statement"""
    traces: Callable[[Sequence[R]], Sequence[str]] | None = None
    """makes the last lines below the Markdown table: the sessions of the origins that its rows name"""
    origin: Callable[[R, RowsByTable], str | None] | None = None
    """returns the anchor in a report that a row links to, given the rows of all tables; default: the row's anchor"""
    questions: tuple[Question[R], ...] = ()
    """questions on the first screen of a report that its rows answer; a row of an answer is one of its first grid"""
    figures: tuple[Figure[R], ...] = ()
    """figures; the command draws the first"""
    only_compared: bool = False
    """whether its rows are A/Bs, so that only their sessions are read"""
    has_codes: bool = True
    """whether the command can also show sessions of older code"""
    priced: bool = False
    """whether it has costs, so that the command takes prices"""
    tells_missing: bool = False
    """whether its rows say what was not measured, which a filter may merely have left out"""
    missing: str = ""
    """error message if there are no rows; empty if that is no error"""

    def grids(self, rows: Sequence[R]) -> list[Part]:
        """Returns the parts for these rows."""
        if self.parts is None:
            return [Part(self.name, self.title, rows, self.columns)]
        return list(self.parts(rows))

    def part(self, name: str, rows: Sequence[R]) -> Part:
        """Returns the part with this name."""
        return next(part for part in self.grids(rows) if part.name == name)

    def opening(self, rows: Sequence[R]) -> str:
        """Returns the first paragraph of the section."""
        return self.intro if isinstance(self.intro, str) else self.intro(rows)

    def remark(self, rows: Sequence[R]) -> str:
        """Returns the paragraph below the grids, empty if there is none."""
        return "" if self.note is None else self.note(rows)

    def statements(self, rows: Sequence[R]) -> Sequence[str]:
        """Returns the sentences about these rows, which are printed below the table."""
        return () if self.sentences is None else self.sentences(rows)

    def lines_below(self, rows: Sequence[R]) -> Sequence[str]:
        """Returns the lines below the tables."""
        return [f"- {sentence}" for sentence in self.statements(rows)] if self.lines is None else self.lines(rows)

    def markdown(self, rows: Sequence[R]) -> str:
        """Returns the parts as Markdown tables, followed by the remark and the lines."""
        first, *more = self.grids(rows)
        grids = [part.markdown() for part in (first, *(part for part in more if part.rows))]
        traces = () if self.traces is None else self.traces(rows)
        lines = [*self.lines_below(rows), *(f"- {trace}" for trace in traces)]
        below = ("\n".join(text) for text in ([self.remark(rows)], lines))
        return "\n".join([*grids, *(f"{text}\n" for text in below if text)])
