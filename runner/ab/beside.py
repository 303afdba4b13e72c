"""The records in the folder of an A/B that none of its blocks has."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from runner.ab.manifest import Manifest
from runner.errors import BadRecord
from runner.record import spool, written
from runner.record.sections.head import MEASURED
from runner.record.sessionrecord import SessionRecord


@dataclass(frozen=True)
class Beside:
    """`measured` are sessions of its cells, protocol, seed and study that it does not name: nothing in their records
    says why. `ended` counts the sessions that ended without a measurement, by their status."""

    measured: tuple[str, ...] = ()
    ended: tuple[tuple[str, int], ...] = ()


def read_beside(folder: Path, manifest: Manifest) -> Beside:
    """Returns the records that this manifest does not name. One that cannot be read is left to the folder's readers."""
    named = {entry.file for entry in manifest.sessions}
    others = [path for path in spool.record_files(folder) if path.parent == folder and path.name not in named]
    records = [each for each in map(_readable, others) if each is not None and _belongs_to(each, manifest)]
    known = {entry.session for entry in manifest.sessions}
    measured = [each.session.id for each in records if each.outcome.status == MEASURED]
    ended = Counter(each.outcome.status for each in records if each.outcome.status != MEASURED)
    return Beside(tuple(one for one in measured if one not in known), tuple(sorted(ended.items())))


def _readable(path: Path) -> SessionRecord | None:
    try:
        return written.read_head(path)
    except BadRecord:
        return None


def _belongs_to(record: SessionRecord, manifest: Manifest) -> bool:
    session, cell_keys = record.session, {arm.cell_key for arm in manifest.arms.values()}
    shared = (record.protocol, session.seed, session.study)
    return record.keys.cell_key in cell_keys and shared == (manifest.protocol, manifest.seed, manifest.study)
