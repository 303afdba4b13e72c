"""Sessions on the host as it is: those under a declared condition of the host are in no frame, and so in no table.

Every source passes here: tables, figures, A/Bs, the fits of predictions and of noise, and `choose`.
"""

from __future__ import annotations

import polars

from analysis.sources.columns import CONDITION, SESSION
from runner.counts import counted


def split(rows: polars.DataFrame) -> tuple[polars.DataFrame, tuple[str, ...]]:
    """Returns the sessions on the host as it is, without the column of conditions, and a note on the others."""
    is_usual = polars.col(CONDITION) == ""
    count = rows.filter(~is_usual)[SESSION].n_unique()
    return rows.filter(is_usual).drop(CONDITION), _notes(count)


def _notes(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    sessions = counted(count, "session was", "sessions were")
    return (f"{sessions} measured under a declared condition of the host (`{CONDITION}`): no table counts them",)
