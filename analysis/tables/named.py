"""The tables by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis import ab
from analysis.sources.frame import Frame
from analysis.tables import budget, floor, graphs, papercheck, quant
from runner import vocabulary

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """`rows` makes them of a frame with these metrics, and a line for each thing that it cannot use; `words` is its
    Markdown."""

    metrics: Sequence[str]
    rows: Callable[[Frame], tuple[list[Row], list[str]]]
    words: Callable[[Sequence[Row]], str]


def _graphs(frame: Frame) -> tuple[list[Row], list[str]]:
    found, unusable = ab.of_frame(frame)
    return graphs.rows(found), unusable


TABLES = {
    "floor": Table(floor.METRICS, lambda frame: (floor.rows(frame), []), floor.markdown),
    "graphs": Table(ab.METRICS, _graphs, graphs.markdown_with_paper),
    "quant": Table(quant.METRICS, lambda frame: (quant.rows(frame), []), quant.markdown),
    "budget": Table(budget.METRICS, lambda frame: (budget.rows(frame), []), budget.markdown),
    "paper": Table(papercheck.METRICS, lambda frame: (papercheck.rows(frame), []), papercheck.markdown),
}


def named(name: str) -> Table:
    """Raises UnknownName."""
    return TABLES[vocabulary.known("table", name, TABLES)]
