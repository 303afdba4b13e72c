"""Step times of one model on one GPU: a bar for each runtime and quantisation, with the floor of its own bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from analysis import protocoltitles
from analysis.figures import stepbars, style
from analysis.figures.style import Drawn
from analysis.tables._floorrow import FloorRow

FEWEST_SESSIONS = 3
PANELS, BARS = 4, 18
TITLE = "Step time and memory floor"


def draw(table: Sequence[FloorRow]) -> Drawn | None:
    """Returns a panel for each GPU, with the model and ctx that have the most bars there; shortest steps first.

    Returns None if no GPU has two bars.
    """
    rows = protocoltitles.comparable([row for row in table if is_shown(row)])
    panels = _panels(rows)
    if not panels:
        return None
    chosen = style.spread(panels, PANELS)
    bars = [sorted(panel, key=lambda row: row.step_wall_ms or 0.0)[:BARS] for panel in chosen]
    return Drawn("floor-steps", TITLE, _caption(len(rows), bars, chosen, len(panels)), stepbars.draw(bars))


def is_shown(row: FloorRow) -> bool:
    """Returns whether the row is valid, has a floor and enough sessions."""
    return row.valid and bool(row.floor_ms) and bool(row.step_wall_ms) and row.sessions >= FEWEST_SESSIONS


def _panels(rows: Sequence[FloorRow]) -> list[list[FloorRow]]:
    """Returns for each GPU the rows of one model and ctx, those with the most rows; GPUs with one row have none."""
    places: dict[str, dict[tuple[str, int], list[FloorRow]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        places[row.gpu][(row.model, row.ctx)].append(row)
    largest = [max(places[gpu].values(), key=len) for gpu in sorted(places)]
    return [panel for panel in largest if len(panel) > 1]


def _caption(total: int, bars: Sequence[Sequence[FloorRow]], chosen: Sequence[Sequence[FloorRow]], panels: int) -> str:
    shown, whole = (sum(map(len, group)) for group in (bars, chosen))
    return (
        f"Each bar is the median step of a valid cell with at least {FEWEST_SESSIONS} sessions. The tick is its floor: "
        "the bytes that this cell must read, at the datasheet bandwidth. The percentage is floor / step. Letters mark "
        "flags. For each GPU, the figure shows the model and ctx with the most cells, the fastest first; "
        f"it has {shown} of the {total} cells."
        + style.left_out(shown, whole, "bars of these panels", "the fastest")
        + style.left_out(len(chosen), panels, "GPUs", "evenly spread by name")
    )
