"""Sessions from record files: read, and grouped by what must be equal before two may stand in one row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from runner import record
from runner.errors import BadRecord

Record = dict[str, Any]
GroupKey = tuple[str, str, str, str]


def read_folder(folder: Path) -> list[Record]:
    """Every record below the folder, by path. Raises BadRecord for a folder without any, or a damaged record."""
    paths = sorted(folder.rglob("*.json"))
    if not paths:
        raise BadRecord(f"{folder}: no records there")
    return [record.read(path) for path in paths]


def measured(records: Iterable[Record]) -> list[Record]:
    """Those that ran to their end."""
    return [found for found in records if record.is_measured(found)]


def group(records: Iterable[Record]) -> list[list[Record]]:
    """Sessions with equal cell_key, protocol, code_key and env_key; of several codes of a cell only the newest.

    The newest code is the one whose last session began last. Groups come in the order of model, ctx and the cell's
    other fields.
    """
    groups: dict[GroupKey, list[Record]] = defaultdict(list)
    for found in records:
        groups[_group_key(found)].append(found)
    newest: dict[tuple[str, str, str], list[Record]] = {}
    for sessions in sorted(groups.values(), key=_last_start):
        cell_key, protocol, _, env_key = _group_key(sessions[0])
        newest[(cell_key, protocol, env_key)] = sessions
    return sorted(newest.values(), key=_cell_order)


def _group_key(found: Record) -> GroupKey:
    keys, protocol = found["keys"], found["protocol"]
    name = f"{protocol['name']}-{protocol['warmup']}-{protocol['steps']}"
    return keys["cell_key"], name, keys["code_key"], keys["env_key"]


def _last_start(sessions: list[Record]) -> int:
    return max(int(found["session"]["started_ms"]) for found in sessions)


def _cell_order(sessions: list[Record]) -> tuple[Any, ...]:
    cell = sessions[0]["cell"]
    return cell["gpu"], cell["model"], cell["ctx"], cell["quant"], cell["kernel"], cell["runtime"], cell["cache"]
