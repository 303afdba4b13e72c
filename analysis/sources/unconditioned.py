"""Sessions on the host as it is: those under a declared condition of it stand apart in a frame, and so in no table.

Every source passes here: tables, figures, A/Bs, the fits of predictions and of noise, and `choose`. Only `differences`
takes both, in the grid of conditions and for the line through launches.
"""

from __future__ import annotations

import polars

from analysis.sources.columns import CONDITION, SESSION
from runner.counts import counted


def split(rows: polars.DataFrame) -> tuple[polars.DataFrame, polars.DataFrame, tuple[str, ...]]:
    """Returns the sessions on the host as it is, without the column of conditions, the others with it, and a note on
    these."""
    is_usual = polars.col(CONDITION) == ""
    others = rows.filter(~is_usual)
    return rows.filter(is_usual).drop(CONDITION), others, _notes(others[SESSION].n_unique())


def _notes(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    sessions = counted(count, "session was", "sessions were")
    return (
        f"{sessions} measured under a declared condition of the host (`{CONDITION}`): `differences` shows them apart, "
        "and no other table has them",
    )
