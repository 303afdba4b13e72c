"""The distribution of the steps of each configuration, with the deadline."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from analysis.choose import choosecolumns
from analysis.choose.candidate import MEASURED
from analysis.choose.chooserow import ChooseRow
from analysis.figures import latency, style
from analysis.figures.latency import Steps
from analysis.figures.style import Drawn
from analysis.reading import Reading
from analysis.sources.frame import Details
from runner.record import tails

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Distribution of steps, and the deadline"
DASHED = (0, (5, 2))


def read(reading: Reading, table: Sequence[ChooseRow]) -> tuple[list[Steps], int]:
    """Returns the times of the first measured cells, at most as many as a figure of steps has, and the number of all
    measured cells. They are times of chunks if the deadline is for several tokens."""
    measured = _longest([row for row in table if row.basis == MEASURED])
    rows = measured[: latency.CELLS]
    titles = [f"{row.gpu} {name}" for row, name in zip(rows, choosecolumns.names(rows), strict=True)]
    tokens = table[0].tokens if table else 1
    cells = latency.steps_of(reading.source, reading.frame, rows, titles, partial(_chunks, tokens))
    return cells, len(measured)


def _longest(rows: Sequence[ChooseRow]) -> list[ChooseRow]:
    """Returns the rows with the most steps of each cell: a longer protocol shows more of the tail."""
    most: dict[str | None, int] = {}
    for row in rows:
        most[row.cell_key] = max(row.chunks or 0, most.get(row.cell_key, 0))
    return [row for row in rows if (row.chunks or 0) == most[row.cell_key]]


def _chunks(tokens: int, details: Details) -> tuple[float, ...]:
    return tuple(time for window in tails.chunked(details.windows_ms, tokens) for time in window)


def draw(cells: Sequence[Steps], total: int, deadline_ms: float, tokens: int) -> Drawn | None:
    """Returns the cumulative distribution of each configuration's times, with the deadline as a line; None without
    times. `total` is the number of measured cells."""
    visible = [cell for cell in cells if any(cell.steps_ms)]
    if not visible:
        return None
    words = ("step", "steps") if tokens == 1 else (f"{tokens} steps", "chunks")
    figure = latency.distributions(visible, *words, (deadline_ms,))
    _draw_deadline(figure.axes[0], deadline_ms)
    left_out = style.left_out(len(visible), total, "measured cells", "the first of the table")
    return Drawn("choose", TITLE, f"{latency.caption(visible)} Dashed: {deadline_ms:g} ms.{left_out}", figure)


@style.applied()
def _draw_deadline(axes: Axes, deadline_ms: float) -> None:
    axes.axvline(deadline_ms, color=style.VERMILION, linewidth=1.2, linestyle=DASHED)
    axes.annotate(
        f"{deadline_ms:g} ms",
        (deadline_ms, 0.03),
        xytext=(3, 0),
        textcoords="offset points",
        fontsize=style.SMALL,
        color=style.VERMILION,
    )
