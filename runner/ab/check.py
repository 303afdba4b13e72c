"""Does a manifest follow from the records beside it? `runner verify`, `import` and the tables ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.ab import arms, blocks, comparable, facts
from runner.ab.beside import Beside, read_beside
from runner.ab.facts import Facts
from runner.ab.manifest import Block, Manifest, SessionEntry, read
from runner.cell.cell import Cell
from runner.cell.jsonform import to_json
from runner.errors import BadPair, BadRecord
from runner.plan.request import NONE, option_map
from runner.record.sessionrecord import SessionRecord
from runner.record.verify import recompute


@dataclass(frozen=True)
class Checked:
    """A manifest in which nothing is wrong, the records of all its sessions by id, used or not, and those beside it."""

    manifest: Manifest
    records: Mapping[str, SessionRecord]
    beside: Beside


def read_checked(path: Path) -> Checked:
    """Read a manifest and the record of every session that it names.

    Raises BadRecord with the first thing that is wrong with it or with one of those records.
    """
    manifest = read(path)
    records = {entry.session: recompute.read_verified(path.parent / entry.file) for entry in manifest.sessions}
    if lines := list(differences(manifest, records)):
        raise BadRecord(f"{path}: {lines[0]}")
    return Checked(manifest, records, read_beside(path.parent, manifest))


def read_whole(path: Path) -> Checked:
    """The same of a manifest that names every measured session of its folder. Raises BadRecord, also for one left out:
    with it gone another ratio stands there."""
    checked = read_checked(path)
    if left := checked.beside.measured:
        raise BadRecord(
            f"{path}: session {left[0]} was measured and is in no block: where the command was killed just before it "
            "was written down, the same `ab` command again takes it up"
        )
    return checked


def period_ms(checked: Checked) -> tuple[int, int]:
    """Returns when the first session of a complete block began and the last one ended, in ms since the epoch."""
    ids = [entry.session for block in checked.manifest.complete for entry in block.sessions]
    used = [facts.of_record(checked.records[session]) for session in ids]
    return min(each.started_ms for each in used), max(each.finished_ms for each in used)


def differences(manifest: Manifest, records: Mapping[str, SessionRecord]) -> Iterator[str]:
    """One line for each thing that does not fit; `records` are those of all its sessions, by id."""
    yield from told_differences(manifest, {session: facts.of_record(record) for session, record in records.items()})


def told_differences(manifest: Manifest, told: Mapping[str, Facts]) -> Iterator[str]:
    """The same, of what the sessions' records or runs tell."""
    if manifest.id != manifest.own_id:
        yield f"id {manifest.id} is not that of what is compared"
    for name, arm in manifest.arms.items():
        if arm.cell.key != arm.cell_key:
            yield f"arms.{name}.cell_key: not this cell's"
    yield from _field_differences(manifest)
    indexes = [entry.index for entry in manifest.sessions]
    if indexes != list(range(len(indexes))):
        yield f"sessions are numbered {indexes}"
    if len({entry.session for entry in manifest.sessions}) < len(manifest.sessions):
        yield "a session stands in it twice"
    yield from _number_differences(manifest)
    yield from _block_differences(manifest)
    yield from _session_differences(manifest, told)
    yield from _end_differences(manifest)


def _field_differences(manifest: Manifest) -> Iterator[str]:
    """Do the arms differ in what the manifest says, and in nothing else?"""
    if manifest.field not in (*arms.FIELDS, NONE):
        yield f"field {manifest.field} is none that arms can differ in"
        return
    a, b = (manifest.arms[name].cell for name in arms.NAMES)
    try:
        if arms.implied(manifest.field, a, b) != manifest.implied:
            yield f"implied: not what {manifest.field} brings with it in these arms"
    except BadPair as error:
        yield f"arms: {error}"
    for name, arm in manifest.arms.items():
        if not _is_value(manifest.field, arm.value, arm.cell):
            yield f"arms.{name}.value: {arm.value} is not the {manifest.field} of its cell"


def _is_value(field: str, value: str, cell: Cell) -> bool:
    """Returns whether the value, as typed, can have become this cell's. A name of weights tells nothing of their id."""
    if field == "options":
        return option_map(value).items() <= cell.options.items()
    return field in (NONE, "weights") or value == str(getattr(cell, arms.FIELDS[field]))


def _number_differences(manifest: Manifest) -> Iterator[str]:
    """Sessions declared and asked for: the first command asks for what it declares, and none measures more."""
    declared, asked = manifest.declared, manifest.asked
    if declared.sessions < 1 or declared.extension < 0 or min(asked, default=0) < 1:
        yield f"{declared.sessions} and {declared.extension} more sessions declared, {list(asked)} asked for"
    elif asked[0] != declared.sessions or len({*asked}) < len(asked):
        yield f"asked {list(asked)}: the first is the number declared, {declared.sessions}, and none is there twice"
    elif manifest.done > max(asked):
        yield f"{manifest.done} sessions of each arm, though no more than {max(asked)} were asked for"


def _block_differences(manifest: Manifest) -> Iterator[str]:
    """Is each block one that measuring begins after those before it?"""
    done = 0
    for number, block in enumerate(manifest.blocks):
        orders = blocks.orders(manifest.asked, done, number)
        if block.order not in orders:
            yield f"block {number}: order {block.order} is none of {', '.join(orders) or 'those asked for'}"
        if "".join(entry.arm for entry in block.sessions) != block.order[: len(block.sessions)]:
            yield f"block {number}: its sessions are not in the order {block.order}"
        done += len(block.order) // 2 if block.is_complete else 0


def _end_differences(manifest: Manifest) -> Iterator[str]:
    """Did each block end for a reason: with its order, with a session that does not count, or with its host?"""
    for number, block in enumerate(manifest.blocks):
        following = manifest.blocks[number + 1 :]
        if not all(entry.valid for entry in block.sessions[:-1]):
            yield f"block {number}: it goes on after a session that does not count"
        if following and block.is_sound and not block.is_complete and following[0].host_id == block.host_id:
            yield f"block {number}: it is not complete, and the next one was begun on the same host"


def _session_differences(manifest: Manifest, told: Mapping[str, Facts]) -> Iterator[str]:
    ends: dict[str, int] = {}
    for number, block, entry in _placed(manifest):
        found = told[entry.session]
        for line in _stated_differences(manifest, block, entry, found):
            yield f"block {number}: session {entry.session}: {line}"
        if found.started_ms < ends.get(block.host_id, 0):
            yield f"block {number}: session {entry.session} began before the one before it had ended"
        ends[block.host_id] = found.finished_ms
    for _, entry, text in _judged(manifest, told):
        if entry.valid and text is not None:
            yield f"session {entry.session} of arm {entry.arm}: {text}"
        if not entry.valid and text is None:
            yield f"session {entry.session} of arm {entry.arm}: it is valid, the manifest says that it is not"


def _placed(manifest: Manifest) -> Iterator[tuple[int, Block, SessionEntry]]:
    for number, block in enumerate(manifest.blocks):
        yield from ((number, block, entry) for entry in block.sessions)


def _stated_differences(manifest: Manifest, block: Block, entry: SessionEntry, found: Facts) -> Iterator[str]:
    stated = {
        "session.id": entry.session,
        "session.index": entry.index,
        "session.seed": manifest.seed,
        "session.study": manifest.study,
        "protocol": to_json(manifest.protocol),
    }
    if found.host_id != block.host_id:
        yield f"keys.host_id is {found.host_id}, the manifest says {block.host_id}"
    for name, is_ in found.stated.items():
        if is_ != stated[name]:
            yield f"{name} is {is_}, the manifest says {stated[name]}"


def _judged(manifest: Manifest, told: Mapping[str, Facts]) -> Iterator[tuple[int, SessionEntry, str | None]]:
    """Each session with the number of its block and why it does not count, from what it tells itself; None where it
    does."""
    before: dict[str, list[Facts]] = {name: [] for name in arms.NAMES}
    for number, _, entry in _placed(manifest):
        found, same, other = told[entry.session], before[entry.arm], before["b" if entry.arm == "a" else "a"]
        yield number, entry, _why_unused(found, manifest.arms[entry.arm].cell_key, same, other)
        same.append(found)


def _why_unused(found: Facts, cell_key: str, same: list[Facts], other: list[Facts]) -> str | None:
    if not found.is_measured:
        return f"it ended without a measurement: {found.reasons}"
    if text := comparable.obstacle(found, cell_key, same, other):
        return text
    return None if found.is_valid else f"it is not valid: {found.reasons}"


def unused_blocks(manifest: Manifest, told: Mapping[str, Facts]) -> Iterator[str]:
    """Why each block that is not used is not, from what its sessions tell."""
    reasons = {number: f"session {entry.session}: {text}" for number, entry, text in _judged(manifest, told) if text}
    for number, block in enumerate(manifest.blocks):
        if not block.is_complete:
            yield f"block {number}: {reasons.get(number) or _unfinished(manifest, number)}"


def _unfinished(manifest: Manifest, number: int) -> str:
    block = manifest.blocks[number]
    there = f"{len(block.sessions)} of its {len(block.order)} sessions are there"
    return there if number == len(manifest.blocks) - 1 else f"{there}, and the next were measured on another host"
