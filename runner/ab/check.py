"""Check of a manifest against the records of its sessions, for `runner verify`, `import` and the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.ab import arms, blocks, comparable, facts
from runner.ab.beside import OtherSessions, read_beside
from runner.ab.facts import Facts
from runner.ab.manifest import RESTORE, Block, Manifest, SessionEntry, read
from runner.cell.cell import Cell
from runner.cell.jsonform import to_json
from runner.errors import BadPair, BadRecord
from runner.plan.request import NONE, option_map
from runner.record.sessionrecord import SessionRecord
from runner.record.verify import recompute


@dataclass(frozen=True)
class Checked:
    """A correct manifest, the records of all its sessions by id (used or not), and the records not in it."""

    manifest: Manifest
    records: Mapping[str, SessionRecord]
    beside: OtherSessions


def read_checked(path: Path) -> Checked:
    """Reads a manifest and the record of every session that it names.

    Raises BadRecord with the first error in the manifest or in one of these records.
    """
    manifest = read(path)
    records = {entry.session: recompute.read_verified(path.parent / entry.file) for entry in manifest.sessions}
    if lines := list(differences(manifest, records)):
        raise BadRecord(f"{path}: {lines[0]}: {RESTORE}")
    return Checked(manifest, records, read_beside(path.parent, manifest))


def read_whole(path: Path) -> Checked:
    """Reads a manifest as `read_checked`, and requires that it names every measured session in its folder.

    Raises BadRecord also for a session left out, because leaving out sessions changes the ratio.
    """
    checked = read_checked(path)
    if unnamed := checked.beside.measured:
        raise BadRecord(
            f"{path}: session {unnamed[0]} was measured and is in no block: if the `ab` command was killed before it "
            "added the session, run the same command again"
        )
    return checked


def period_ms(checked: Checked) -> tuple[int, int]:
    """Returns the start of the first and the end of the last session in complete blocks, in ms since the epoch."""
    ids = [entry.session for block in checked.manifest.complete for entry in block.sessions]
    sessions = [facts.record_facts(checked.records[session]) for session in ids]
    return min(session.started_ms for session in sessions), max(session.finished_ms for session in sessions)


def differences(manifest: Manifest, records: Mapping[str, SessionRecord]) -> Iterator[str]:
    """Yields one line for each error in the manifest; `records` has the record of each of its sessions, by id."""
    yield from manifest_errors(manifest, {session: facts.record_facts(record) for session, record in records.items()})


def manifest_errors(manifest: Manifest, session_facts: Mapping[str, Facts]) -> Iterator[str]:
    """Yields one line for each error in the manifest; `session_facts` has the facts of each of its sessions, by id."""
    if manifest.id != manifest.computed_id:
        yield f"id {manifest.id} is not the hash of what is compared ({manifest.computed_id})"
    for name, arm in manifest.arms.items():
        if arm.cell.key != arm.cell_key:
            yield f"arms.{name}.cell_key: not the key of its cell"
    yield from _field_differences(manifest)
    indexes = [entry.index for entry in manifest.sessions]
    if indexes != list(range(len(indexes))):
        yield f"sessions are numbered {indexes}, not in order from 0"
    if len({entry.session for entry in manifest.sessions}) < len(manifest.sessions):
        yield "a session is listed twice"
    yield from _number_differences(manifest)
    yield from _block_differences(manifest)
    yield from _session_differences(manifest, session_facts)
    yield from _end_differences(manifest)


def _field_differences(manifest: Manifest) -> Iterator[str]:
    """Yields an error if the arms differ in other fields than the manifest says."""
    if manifest.field not in (*arms.FIELDS, NONE):
        yield f"field {manifest.field} is not a field that arms can differ in"
        return
    a, b = (manifest.arms[name].cell for name in arms.NAMES)
    try:
        if arms.implied(manifest.field, a, b) != manifest.implied:
            yield f"implied: not what {manifest.field} implies for these arms"
    except BadPair as error:
        yield f"arms: {error}"
    for name, arm in manifest.arms.items():
        if not _is_value(manifest.field, arm.value, arm.cell):
            yield f"arms.{name}.value: {arm.value} is not the {manifest.field} of its cell"


def _is_value(field: str, value: str, cell: Cell) -> bool:
    """Returns whether the value, as typed, can resolve to this cell. A name of weights does not determine their id."""
    if field == "options":
        return option_map(value).items() <= cell.options.items()
    return field in (NONE, "weights") or value == str(getattr(cell, arms.FIELDS[field]))


def _number_differences(manifest: Manifest) -> Iterator[str]:
    """Yields an error in the numbers of sessions declared and requested.

    The first command requests the declared number, and no command measures more sessions than were requested.
    """
    declared, requested = manifest.declared, manifest.asked
    if declared.sessions < 1 or declared.extension < 0 or min(requested, default=0) < 1:
        yield f"{declared.sessions} and {declared.extension} more sessions declared, {list(requested)} requested"
    elif requested[0] != declared.sessions or len({*requested}) < len(requested):
        yield f"asked {list(requested)}: the first must be the declared number, {declared.sessions}, and none repeated"
    elif manifest.done > max(requested):
        yield f"{manifest.done} sessions of each arm, but at most {max(requested)} were requested"


def _block_differences(manifest: Manifest) -> Iterator[str]:
    """Yields errors in the order of blocks and of the sessions in them."""
    done = 0
    for number, block in enumerate(manifest.blocks):
        orders = blocks.possible_orders(manifest.asked, done, number)
        if block.order not in orders:
            yield f"block {number}: order {block.order} is none of {', '.join(orders) or 'the possible orders'}"
        if "".join(entry.arm for entry in block.sessions) != block.order[: len(block.sessions)]:
            yield f"block {number}: its sessions are not in the order {block.order}"
        done += len(block.order) // 2 if block.is_complete else 0


def _end_differences(manifest: Manifest) -> Iterator[str]:
    """Yields each block that did not end with its order, with an unused session or with a change of host."""
    for number, block in enumerate(manifest.blocks):
        following = manifest.blocks[number + 1 :]
        if not all(entry.valid for entry in block.sessions[:-1]):
            yield f"block {number}: it continues after a session that is not valid"
        if following and block.is_sound and not block.is_complete and following[0].host_id == block.host_id:
            yield f"block {number}: it is not complete, but the next block began on the same host"


def _session_differences(manifest: Manifest, session_facts: Mapping[str, Facts]) -> Iterator[str]:
    ends_ms: dict[str, int] = {}
    for number, block, entry in _numbered_sessions(manifest):
        session = session_facts[entry.session]
        for line in _stated_differences(manifest, block, entry, session):
            yield f"block {number}: session {entry.session}: {line}"
        if session.started_ms < ends_ms.get(block.host_id, 0):
            yield f"block {number}: session {entry.session} began before the previous one had ended"
        ends_ms[block.host_id] = session.finished_ms
    for _, entry, reason in _unused_reasons(manifest, session_facts):
        if entry.valid and reason is not None:
            yield f"session {entry.session} of arm {entry.arm}: {reason}"
        if not entry.valid and reason is None:
            yield f"session {entry.session} of arm {entry.arm}: it is valid, but the manifest says that it is not"


def _numbered_sessions(manifest: Manifest) -> Iterator[tuple[int, Block, SessionEntry]]:
    for number, block in enumerate(manifest.blocks):
        yield from ((number, block, entry) for entry in block.sessions)


def _stated_differences(manifest: Manifest, block: Block, entry: SessionEntry, session: Facts) -> Iterator[str]:
    stated = {
        "session.id": entry.session,
        "session.index": entry.index,
        "session.seed": manifest.seed,
        "session.study": manifest.study,
        "protocol": to_json(manifest.protocol),
    }
    if session.host_id != block.host_id:
        yield f"keys.host_id is {session.host_id}, the manifest says {block.host_id}"
    for name, value in session.stated.items():
        if value != stated[name]:
            yield f"{name} is {value}, the manifest says {stated[name]}"


def _unused_reasons(
    manifest: Manifest, session_facts: Mapping[str, Facts]
) -> Iterator[tuple[int, SessionEntry, str | None]]:
    """Yields each session with its block's number and the reason why it is not used, None if it is used."""
    earlier: dict[str, list[Facts]] = {name: [] for name in arms.NAMES}
    for number, _, entry in _numbered_sessions(manifest):
        session, same_arm = session_facts[entry.session], earlier[entry.arm]
        other_arm = earlier["b" if entry.arm == "a" else "a"]
        yield number, entry, _unused_reason(session, manifest.arms[entry.arm].cell_key, same_arm, other_arm)
        same_arm.append(session)


def _unused_reason(session: Facts, cell_key: str, same_arm: list[Facts], other_arm: list[Facts]) -> str | None:
    if not session.is_measured:
        return f"it ended without a measurement: {session.reasons}"
    if session.host_condition is not None:
        return f"it had host_condition={session.host_condition}, and an A/B compares sessions on the host as it is"
    if text := comparable.obstacle(session, cell_key, same_arm, other_arm):
        return text
    return None if session.is_valid else f"it is not valid: {session.reasons}"


def unused_blocks(manifest: Manifest, session_facts: Mapping[str, Facts]) -> Iterator[str]:
    """Yields a line for each block that is not used, with the reason."""
    reasons = {
        number: f"session {entry.session}: {reason}"
        for number, entry, reason in _unused_reasons(manifest, session_facts)
        if reason
    }
    for number, block in enumerate(manifest.blocks):
        if not block.is_complete:
            yield f"block {number}: {reasons.get(number) or _unfinished(manifest, number)}"


def _unfinished(manifest: Manifest, number: int) -> str:
    block = manifest.blocks[number]
    count = f"{len(block.sessions)} of its {len(block.order)} sessions are there"
    return count if number == len(manifest.blocks) - 1 else f"{count}, and the next were measured on another host"
