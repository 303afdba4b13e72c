"""What is in a report: the rows of every table, and the figures, of one frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar, cast

import polars

from analysis import registry
from analysis.figures.style import Drawn
from analysis.reading import Reading
from analysis.report import answers, provenance
from analysis.row import Row
from analysis.sources.frame import Frame
from analysis.sources.selection import Selection
from analysis.table import RowsByTable, Table
from analysis.tables import budget, floor, graphs, quant
from analysis.tables._floorrow import FloorRow

R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class Contents:
    """`shown` names the source, `told` the filters. `rows` has those of every table by its name; `figures` has those
    that have something to show, `left_out` a line for each thing that is wrong and in no table."""

    shown: str
    told: str
    reading: Reading
    rows: RowsByTable
    figures: tuple[Drawn, ...]
    left_out: tuple[str, ...]

    @property
    def frame(self) -> Frame:
        """The sessions of the report."""
        return self.reading.frame

    def of(self, table: Table[R]) -> Sequence[R]:
        """Returns the rows of a table."""
        return cast(Sequence[R], self.rows[table.name])

    @property
    def answers(self) -> list[dict[str, str]]:
        """The three questions, answered."""
        compared = self.of(graphs.TABLE)
        return answers.answers(self.of(floor.TABLE), self.of(budget.TABLE), compared, self.of(quant.TABLE))

    @cached_property
    def sessions(self) -> polars.DataFrame:
        """The sessions of every row, see `provenance.sessions`."""
        compared = self.of(graphs.TABLE)
        return provenance.sessions(self.frame, self.of(floor.TABLE), self.reading.compared, compared)

    @property
    def valid(self) -> list[FloorRow]:
        """The groups of valid sessions."""
        return [row for row in self.of(floor.TABLE) if row.valid]

    @property
    def others(self) -> list[FloorRow]:
        """The groups that are invalid or were not measured."""
        return [row for row in self.of(floor.TABLE) if not row.valid]


def contents(asked: Selection) -> Contents:
    """Returns what a report of these sessions has. Raises BadRecord, BadValue, StoreUnreachable as the source does."""
    reading = Reading(asked.frame(registry.metrics()), asked.source)
    rows = {table.name: table.rows(reading) for table in registry.tables()}
    whole, shown = asked.source.shown, published(asked.source.shown)
    wrong = (*reading.frame.left_out, *reading.unusable)
    return Contents(
        shown=shown,
        told=asked.told,
        reading=reading,
        rows=rows,
        figures=tuple(_drawn(rows, reading)),
        left_out=tuple(line.replace(whole, shown) for line in wrong),
    )


def _drawn(rows: RowsByTable, reading: Reading) -> Iterator[Drawn]:
    for table in registry.tables():
        for figure in table.figures:
            if (drawn := figure.draw(rows[table.name], reading)) is not None:
                yield drawn


def published(source: str) -> str:
    """Returns a folder or store as a page may name it, which others will read: without the folders above it."""
    scheme, slashes, path = source.rpartition(":///")
    return f"{scheme}{slashes}{Path(path).name}" if Path(path).is_absolute() else source


def markdown(found: Contents) -> str:
    """Returns the tables as a Markdown file."""
    return "# Tables\n\n" + "\n".join(_section(table, found.rows[table.name]) for table in registry.tables())


def _section(table: Table[Row], rows: Sequence[Row]) -> str:
    first, *_ = table.grids(rows)
    text = table.markdown(rows) if rows or not first.nothing else f"{first.nothing}\n"
    return f"## {table.name.capitalize()}: {table.title[:1].lower()}{table.title[1:]}\n\n{text}"
