"""The answers on the first screen of a report: the questions of all tables, answered for each GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis import registry
from analysis.question import Line, Question
from analysis.report import grid
from analysis.row import Row
from analysis.table import RowsByTable, Table


@dataclass(frozen=True)
class GPULine:
    """The answer for a GPU. `to` is the anchor of the row on the page, None if there is no row."""

    gpu: str
    line: Line
    to: str | None


@dataclass(frozen=True)
class Answer:
    """A question with its answer for each GPU. `scope` says what counts, empty if everything does."""

    question: str
    scope: str
    lines: tuple[GPULine, ...]

    @property
    def markdown(self) -> str:
        """Returns question and answers as Markdown."""
        scope = f" ({self.scope})" if self.scope else ""
        return "\n".join(
            [f"**{self.question}**{scope}", "", *(f"- {each.gpu}: {each.line.words}" for each in self.lines)]
        )


def answers(rows: RowsByTable, gpus: Sequence[str]) -> list[Answer]:
    """Returns the answers to the questions of every table, in the order of the tables."""
    return [answer for table in registry.tables() for answer in _answers(table, rows, gpus)]


def _answers(table: Table[Row], rows: RowsByTable, gpus: Sequence[str]) -> Iterator[Answer]:
    for question in table.questions:
        lines = (_line(question, table.name, rows, gpu) for gpu in gpus)
        yield Answer(question.text, question.scope, tuple(lines))


def _line(question: Question[Row], name: str, rows: RowsByTable, gpu: str) -> GPULine:
    line, fallback = question.answer(rows[name], gpu), question.fallback
    if line.row is None and fallback is not None:
        other = fallback.answer(rows[fallback.table], gpu)
        name, line = (name, line) if other is None else (fallback.table, other)
    return GPULine(gpu, line, None if line.row is None else grid.row_anchor(name, line.row))
