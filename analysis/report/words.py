"""What flags mean, for a reader who has nothing but the page."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.table import RowsByTable
from runner.record.flags import FLAG_MEANINGS


def flags(rows: RowsByTable) -> dict[str, str]:
    """Returns the meaning of each flag that a row of any table has; a store may have some that this version does not
    know."""
    found = (getattr(row, "flags", ()) for own in rows.values() for row in own)
    return explained(flag for each in found for flag in each)


def explained(names: Iterable[str]) -> dict[str, str]:
    """Returns the meaning of each of these flags."""
    return {flag: FLAG_MEANINGS.get(flag, "not known to this version") for flag in sorted(set(names))}
