"""Meanings of flags for readers of the page."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.table import RowsByTable
from runner.record.flags import FLAG_MEANINGS


def flags(rows: RowsByTable) -> dict[str, str]:
    """Returns the meaning of each flag of any table's rows. A store may have flags that this version does not know."""
    flag_lists = (getattr(row, "flags", ()) for table_rows in rows.values() for row in table_rows)
    return explained(flag for flag_list in flag_lists for flag in flag_list)


def explained(names: Iterable[str]) -> dict[str, str]:
    """Returns the meaning of each of these flags."""
    return {flag: FLAG_MEANINGS.get(flag, "not known to this version") for flag in sorted(set(names))}
