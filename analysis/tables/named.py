"""The tables by their names: what each asks of a frame, its rows, its words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis import ab
from analysis.sources.frame import Frame
from analysis.tables import budget, floor, graphs, papercheck, quant
from runner.errors import BadRecord

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """`asked` is what its frame must have, `only_compared` that it needs only the sessions of A/Bs. `rows` makes them
    of the frame, with those of older code or without, and a line for each thing that it cannot use; `words` is its
    Markdown."""

    asked: Sequence[str]
    rows: Callable[[Frame, bool], tuple[list[Row], list[str]]]
    words: Callable[[Sequence[Row]], str]
    only_compared: bool = False


def _of_groups(rows: Callable[[Frame, bool], list[Row]]) -> Callable[[Frame, bool], tuple[list[Row], list[str]]]:
    return lambda frame, every_code: (rows(frame, every_code), [])


def _graphs(frame: Frame, every_code: bool) -> tuple[list[Row], list[str]]:
    """Raises BadRecord where no A/B between runtimes was measured."""
    found, unusable = ab.of_frame(frame)
    rows = graphs.rows(found, every_code)
    if not (rows or unusable or frame.left_out):
        raise BadRecord(graphs.NO_AB)
    return rows, unusable


def _paper(frame: Frame, _every_code: bool) -> list[Row]:
    return papercheck.rows(frame)


def _ranges(frame: Frame, every_code: bool) -> list[Row]:
    return floor.gpu_ranges(floor.rows(frame, every_code))


TABLES = {
    "floor": Table(floor.METRICS, _of_groups(floor.rows), floor.markdown),
    "ranges": Table(floor.METRICS, _of_groups(_ranges), floor.ranges_markdown),
    "graphs": Table(ab.ASKED, _graphs, graphs.markdown_with_paper, only_compared=True),
    "quant": Table(quant.METRICS, _of_groups(quant.rows), quant.markdown),
    "budget": Table(budget.METRICS, _of_groups(budget.rows), budget.markdown),
    "paper": Table(papercheck.ASKED, _of_groups(_paper), papercheck.markdown),
}
