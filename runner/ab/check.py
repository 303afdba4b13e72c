"""Does a manifest hold together with the records beside it? `runner verify`, `import` and the tables ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runner.ab import arms, comparable
from runner.ab.manifest import ORDERS, Block, Manifest, SessionEntry, read
from runner.cell import Cell
from runner.errors import BadPair, BadRecord
from runner.request import NONE
from runner.verify import recompute

Record = Mapping[str, Any]
ALL_ORDERS = tuple(order for orders in ORDERS.values() for order in orders)


def read_checked(path: Path) -> tuple[Manifest, dict[str, Record]]:
    """A manifest in which nothing is wrong, and the records of its complete blocks by session id.

    Raises BadRecord with the first thing that is wrong with it or with one of those records.
    """
    found = read(path)
    records: dict[str, Record] = {}
    for block in found.complete:
        for entry in block.sessions:
            records[entry.session] = recompute.read_verified(path.parent / entry.file)
    if lines := list(differences(found, records)):
        raise BadRecord(f"{path}: {lines[0]}")
    return found, records


def period_ms(records: Mapping[str, Record]) -> tuple[int, int]:
    """When the first session began and the last one ended, milliseconds since the epoch."""
    sessions = [found["session"] for found in records.values()]
    return min(int(each["started_ms"]) for each in sessions), max(int(each["finished_ms"]) for each in sessions)


def differences(manifest: Manifest, records: Mapping[str, Record]) -> Iterator[str]:
    """One line for each thing that does not fit; `records` are those of the complete blocks, by session id."""
    if manifest.id != manifest.own_id:
        yield f"id {manifest.id} is not that of what is compared"
    for name, arm in manifest.arms.items():
        if Cell.from_json(arm.cell).key != arm.cell_key:
            yield f"arms.{name}.cell_key: not this cell's"
    yield from _field_differences(manifest)
    indexes = [entry.index for entry in manifest.sessions]
    if indexes != list(range(len(indexes))):
        yield f"sessions are numbered {indexes}"
    if len({entry.session for entry in manifest.sessions}) < len(manifest.sessions):
        yield "a session stands in it twice"
    for number, block in enumerate(manifest.blocks):
        yield from (f"block {number}: {line}" for line in _block_differences(manifest, block, records))
    yield from _comparability_differences(manifest, records)


def _field_differences(manifest: Manifest) -> Iterator[str]:
    """Do the arms differ in what the manifest says, and in nothing else?"""
    if manifest.field not in (*arms.FIELDS, NONE):
        yield f"field {manifest.field} is none that arms can differ in"
        return
    a, b = (Cell.from_json(manifest.arms[name].cell) for name in arms.NAMES)
    try:
        if arms.implied(manifest.field, a, b) != manifest.implied:
            yield f"implied: not what {manifest.field} brings with it in these arms"
    except BadPair as error:
        yield f"arms: {error}"


def _comparability_differences(manifest: Manifest, records: Mapping[str, Record]) -> Iterator[str]:
    before: dict[str, list[Record]] = {name: [] for name in arms.NAMES}
    for block in manifest.complete:
        for entry in block.sessions:
            found, (same, other) = records[entry.session], (before[entry.arm], before["b" if entry.arm == "a" else "a"])
            if text := comparable.difference(found, same, other):
                yield f"session {entry.session} of arm {entry.arm}: {text}"
            same.append(found)


def _block_differences(manifest: Manifest, block: Block, records: Mapping[str, Record]) -> Iterator[str]:
    if block.order not in ALL_ORDERS:
        yield f"order {block.order} is none of {', '.join(ALL_ORDERS)}"
    if "".join(entry.arm for entry in block.sessions) != block.order[: len(block.sessions)]:
        yield f"its sessions are not in the order {block.order}"
    if not block.is_complete:
        return
    ends = 0
    for entry in block.sessions:
        yield from _session_differences(manifest, block, entry, records[entry.session])
        started = records[entry.session]["session"]["started_ms"]
        if started < ends:
            yield f"session {entry.session} began before the one before it had ended"
        ends = records[entry.session]["session"]["finished_ms"]


def _session_differences(manifest: Manifest, block: Block, entry: SessionEntry, found: Record) -> Iterator[str]:
    stated = {
        "session.id": (entry.session, found["session"]["id"]),
        "session.index": (entry.index, found["session"]["index"]),
        "session.seed": (manifest.seed, found["session"]["seed"]),
        "session.study": (manifest.study, found["session"]["study"]),
        "keys.cell_key": (manifest.arms[entry.arm].cell_key, found["keys"]["cell_key"]),
        "keys.host_id": (block.host_id, found["keys"].get("host_id")),
        "protocol": (manifest.protocol, found["protocol"]),
        "valid": (entry.valid, found["valid"]),
    }
    for name, (said, is_) in stated.items():
        if said != is_:
            yield f"session {entry.session}: {name} is {is_}, the manifest says {said}"
