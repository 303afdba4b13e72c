"""What is in a report: the rows of every table, and the figures, of one frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars

from analysis import ab, paper
from analysis.ab import Measured
from analysis.figures import bandwidth, context, latency
from analysis.figures import budget as budget_figure
from analysis.figures import graphs as graphs_figure
from analysis.figures import quant as quant_figure
from analysis.figures.style import Drawn
from analysis.report import answers, provenance
from analysis.sources.frame import Frame
from analysis.sources.selection import Asked
from analysis.tables import budget, floor, graphs, papercheck, quant

Row = dict[str, Any]

ASKED = tuple(sorted({*floor.METRICS, *quant.METRICS, *budget.METRICS, *papercheck.ASKED, *ab.ASKED}))
"""What a frame must have for all of them."""
FIGURES = ("floor-bandwidth", "floor-context", "graphs", "quant", "budget", "latency")
"""Names of all that a report may have."""


@dataclass(frozen=True)
class Contents:
    """`shown` names the source, `told` the filters; `figures` has those that have something to show, `left_out` a line
    for each thing that is wrong and in no table."""

    shown: str
    told: str
    frame: Frame
    floor: list[Row]
    graphs: list[Row]
    quant: list[Row]
    budget: list[Row]
    paper: list[Row]
    compared: tuple[Measured, ...]
    figures: tuple[Drawn, ...]
    left_out: tuple[str, ...]

    @property
    def answers(self) -> list[dict[str, str]]:
        """The three questions, answered."""
        return answers.answers(self.floor, self.budget, self.graphs, self.quant)

    @cached_property
    def sessions(self) -> polars.DataFrame:
        """Those of every row, see `provenance.sessions`."""
        return provenance.sessions(self.frame, self.floor, self.compared, self.graphs)

    @property
    def valid(self) -> list[Row]:
        """The groups of valid sessions."""
        return [row for row in self.floor if row["valid"]]

    @property
    def others(self) -> list[Row]:
        """The groups that are invalid or were not measured."""
        return [row for row in self.floor if not row["valid"]]


def contents(asked: Asked) -> Contents:
    """Raises BadRecord, BadValue, StoreUnreachable as the source does."""
    frame = asked.frame(ASKED)
    compared, unusable = ab.of_frame(frame)
    floors, graph_rows = floor.rows(frame), graphs.rows(compared)
    quants, budgets = quant.rows(frame), budget.rows(frame)
    drawn = (
        bandwidth.draw(floors),
        context.draw(floors),
        graphs_figure.draw(compared, graph_rows, paper.graphs_rows()),
        quant_figure.draw(quants),
        budget_figure.draw(budgets),
        latency.draw(*latency.read(asked.source, frame, floors)),
    )
    whole, shown = asked.source.shown, published(asked.source.shown)
    return Contents(
        shown=shown,
        told=asked.told,
        frame=frame,
        floor=floors,
        graphs=graph_rows,
        quant=quants,
        budget=budgets,
        paper=papercheck.rows(frame),
        compared=tuple(compared),
        figures=tuple(one for one in drawn if one is not None),
        left_out=tuple(line.replace(whole, shown) for line in (*frame.left_out, *unusable)),
    )


def published(source: str) -> str:
    """A folder or store as a page may name it, which others will read: without the folders above it."""
    scheme, slashes, path = source.rpartition(":///")
    return f"{scheme}{slashes}{Path(path).name}" if Path(path).is_absolute() else source


def markdown(found: Contents) -> str:
    """The tables as a Markdown file."""
    parts = {
        "Floor: how far each cell is from what its bytes need": floor.markdown(found.floor),
        "Graphs: what a CUDA graph is worth": (
            graphs.markdown_with_paper(found.graphs) if found.graphs else f"So far {graphs.NO_AB}.\n"
        ),
        "Quant: what quantised weights save": quant.markdown(found.quant),
        "Budget: where a step's time goes": budget.markdown(found.budget),
        "Paper: every figure of arXiv 2605.30571 beside ours": papercheck.markdown(found.paper),
    }
    return "# Tables\n\n" + "\n".join(f"## {title}\n\n{text}" for title, text in parts.items())
