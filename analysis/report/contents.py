"""Contents of a report: the rows of every table and the figures, from one frame."""

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
from analysis.report import answers, derived, provenance
from analysis.report.answers import Answer
from analysis.row import Row
from analysis.sources.frame import Frame
from analysis.sources.selection import Selection
from analysis.table import RowsByTable, Table
from analysis.tables import floor, graphs
from analysis.tables._floorrow import FloorRow

R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class Contents:
    """The contents of a report. `source` is the source's name, `filters` the filters as text.

    `rows` has the rows of each table by name, `figures` the non-empty figures. `left_out` has a line for each fault
    that no table shows.
    """

    source: str
    filters: str
    reading: Reading
    rows: RowsByTable
    figures: tuple[Drawn, ...]
    left_out: tuple[str, ...]

    @property
    def frame(self) -> Frame:
        """Returns the sessions of the report."""
        return self.reading.frame

    def rows_of(self, table: Table[R]) -> Sequence[R]:
        """Returns the rows of a table."""
        return cast(Sequence[R], self.rows[table.name])

    @property
    def gpus(self) -> list[str]:
        """Returns the GPUs of the report's sessions."""
        return sorted({row.gpu for row in self.rows_of(floor.TABLE)})

    @property
    def answers(self) -> list[Answer]:
        """Returns the questions of all tables with their answers."""
        return answers.answers(self.rows, self.gpus)

    @cached_property
    def sessions(self) -> polars.DataFrame:
        """Returns the sessions of every row, see `provenance.sessions`."""
        floors, compared = self.rows_of(floor.TABLE), self.rows_of(graphs.TABLE)
        traced = derived.traced_rows(self.rows)
        return provenance.sessions(self.frame, floors, self.reading.compared, compared, traced)

    @property
    def valid(self) -> list[FloorRow]:
        """Returns the groups of valid sessions."""
        return [row for row in self.rows_of(floor.TABLE) if row.valid]

    @property
    def invalid(self) -> list[FloorRow]:
        """Returns the groups that are invalid or were not measured."""
        return [row for row in self.rows_of(floor.TABLE) if not row.valid]


def contents(selection: Selection) -> Contents:
    """Returns the contents of a report on these sessions. Raises BadRecord, BadValue, StoreUnreachable as the source
    does."""
    reading = Reading(selection.frame(registry.metrics()), selection.source)
    rows = {table.name: table.rows(reading) for table in registry.tables()}
    name, published_name = selection.source.label, published(selection.source.label)
    faults = (*reading.frame.left_out, *reading.unusable)
    return Contents(
        source=published_name,
        filters=selection.description,
        reading=reading,
        rows=rows,
        figures=tuple(_drawn(rows, reading)),
        left_out=tuple(line.replace(name, published_name) for line in faults),
    )


def _drawn(rows: RowsByTable, reading: Reading) -> Iterator[Drawn]:
    for table in registry.tables():
        for figure in table.figures:
            if (drawn := figure.draw(rows[table.name], reading)) is not None:
                yield drawn


def published(source: str) -> str:
    """Returns a folder or store as a published page may name it: without parent folders."""
    scheme, slashes, path = source.rpartition(":///")
    return f"{scheme}{slashes}{Path(path).name}" if Path(path).is_absolute() else source


def markdown(report: Contents) -> str:
    """Returns the tables as a Markdown file."""
    return "# Tables\n\n" + "\n".join(_section(table, report.rows[table.name]) for table in registry.tables())


def _section(table: Table[Row], rows: Sequence[Row]) -> str:
    return f"## {table.name.capitalize()}: {table.title[:1].lower()}{table.title[1:]}\n\n{table.markdown(rows)}"
