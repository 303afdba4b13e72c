"""How long a session will take: as long as the last one that was measured in the same way, by the records of the spool.

The same cell takes another time with another protocol, beside busy neighbours, or with a pass that measures energy.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.cell.cell import Cell
from runner.cell.jsonform import to_json
from runner.cell.protocol import Protocol
from runner.cell.vocabulary import ON
from runner.hostcondition import condition
from runner.record import record

ENERGY = "energy"
"""Name of the switch in a request, and of the pass among the phases."""
LOOKED_AT = 20
"""Newest records that are read: other cells may have names that begin alike."""


def expected_s(
    spool: Path, cell: Cell, protocol: Protocol, energy: bool = False, host_condition: str | None = None
) -> float | None:
    """Returns the seconds from command to record of the newest measured session in the folder with this cell, protocol
    and condition of the host; None if there is none.

    If `energy` is measured, only sessions that measured it count. If not, the seconds of that pass are left out. Files
    that cannot be read are skipped.
    """
    pattern = f"{glob.escape(record.file_start(cell))}-*.json"
    asked = (cell.key, to_json(protocol), host_condition)
    for path in sorted(spool.glob(pattern), key=_age)[:LOOKED_AT]:
        seconds = _of_file(path, asked, energy)
        if seconds is not None:
            return seconds
    return None


def without_unasked(cost_s: Mapping[str, float | None], energy: bool) -> float | None:
    """Returns the seconds from command to record by those of each phase, without the pass that measures energy unless
    it is asked for; None if they are not known."""
    total_s = cost_s.get("total")
    return total_s if total_s is None or energy else total_s - (cost_s.get(ENERGY) or 0.0)


def _age(path: Path) -> float:
    try:
        return -os.stat(path).st_mtime
    except OSError:  # removed meanwhile
        return 0.0


def _of_file(path: Path, asked: tuple[str, dict[str, Any], str | None], energy: bool) -> float | None:
    """Returns the seconds of a record that was measured as asked. It is not verified: it is only shown."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        request = read["request"]
        found = (read["keys"]["cell_key"], read["protocol"], condition.requested(request))
        is_alike = found == asked and (request.get(ENERGY) == ON or not energy)
        return without_unasked(read["cost_s"], energy) if is_alike else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
