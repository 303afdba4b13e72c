"""How long a session will take: as long as the last one of the same cell, by the records of the spool."""

from __future__ import annotations

import glob
import json
import os
from pathlib import Path
from typing import Any

from runner.cell.cell import Cell
from runner.cell.jsonform import to_json
from runner.cell.protocol import Protocol
from runner.record import record

LOOKED_AT = 20
"""Newest records that are read: other cells may have names that begin alike."""


def expected_s(spool: Path, cell: Cell, protocol: Protocol) -> float | None:
    """Returns the seconds from command to record of the newest measured session in the folder with this cell and
    protocol; None if there is none. Files that cannot be read are skipped."""
    pattern = f"{glob.escape(record.file_start(cell))}-*.json"
    for path in sorted(spool.glob(pattern), key=_age)[:LOOKED_AT]:
        seconds = _total_s(path, cell.key, to_json(protocol))
        if seconds is not None:
            return seconds
    return None


def _age(path: Path) -> float:
    try:
        return -os.stat(path).st_mtime
    except OSError:  # removed meanwhile
        return 0.0


def _total_s(path: Path, cell_key: str, protocol: dict[str, Any]) -> float | None:
    """Returns the record's total if it is of this cell and protocol. It is not verified: it is only shown."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        is_same = read["keys"]["cell_key"] == cell_key and read["protocol"] == protocol
        return float(read["cost_s"]["total"]) if is_same else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
