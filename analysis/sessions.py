"""Sessions from record files: read, and grouped by what must be equal before two may stand in one row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import recompute
from runner.errors import BadRecord
from runner.records import record, spool

Record = dict[str, Any]
GroupKey = tuple[str, str, str, str]


@dataclass(frozen=True)
class Group:
    """Sessions that may stand in one row; `superseded` sessions of the same cell, protocol and environment are left out
    because older code measured them."""

    sessions: list[Record]
    superseded: int


def read_folder(folder: Path) -> tuple[list[Record], list[str]]:
    """Every record below the folder, by path, and a line for each that `runner verify` rejects: a table of many
    sessions need not wait for one damaged file. Raises BadRecord for a folder without any record."""
    if not folder.exists():
        raise BadRecord(f"{folder}: no such folder of records")
    paths = spool.record_files(folder)
    if not paths:
        raise BadRecord(f"{folder}: no records there")
    found: dict[str, Record] = {}
    rejected: list[str] = []
    for path in paths:
        try:
            one = recompute.read_verified(path)
        except BadRecord as error:
            rejected.append(str(error))
            continue
        if found.setdefault(one["session"]["id"], one) is not one:
            rejected.append(f"{path}: session {one['session']['id']} is in another file as well")
    return list(found.values()), rejected


def measured(records: Iterable[Record]) -> list[Record]:
    """Those that ran to their end."""
    return [found for found in records if record.is_measured(found)]


def group(records: Iterable[Record], every_code: bool = False) -> list[Group]:
    """Sessions with equal cell_key, protocol, code_key and env_key; of several codes only the newest, or each.

    The newest code is the one whose last session began last. Groups come in the order of the cell's fields.
    """
    groups: dict[GroupKey, list[Record]] = defaultdict(list)
    for found in records:
        groups[_group_key(found)].append(found)
    codes: dict[tuple[str, str, str], list[list[Record]]] = defaultdict(list)
    for sessions in sorted(groups.values(), key=_last_start):
        cell_key, protocol, _, env_key = _group_key(sessions[0])
        codes[(cell_key, protocol, env_key)].append(sessions)
    shown: list[Group] = []
    for *older, newest in codes.values():
        shown += [Group(sessions, 0) for sessions in older if every_code]
        shown.append(Group(newest, 0 if every_code else sum(map(len, older))))
    return sorted(shown, key=_cell_order)


def protocol_title(found: Record) -> str:
    """Such as `paper-5-30`: name, warm-up steps, timed steps."""
    protocol = found["protocol"]
    return f"{protocol['name']}-{protocol['warmup']}-{protocol['steps']}"


def _group_key(found: Record) -> GroupKey:
    keys = found["keys"]
    return keys["cell_key"], protocol_title(found), keys["code_key"], keys["env_key"]


def _last_start(sessions: list[Record]) -> int:
    return max(int(found["session"]["started_ms"]) for found in sessions)


def _cell_order(group: Group) -> tuple[Any, ...]:
    cell = group.sessions[0]["cell"]
    fields = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache")
    return (*(cell[field] for field in fields), _last_start(group.sessions))
