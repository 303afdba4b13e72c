"""Records in an A/B's folder that its manifest does not name."""

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
class OtherSessions:
    """Records of the A/B's cells, protocol, seed and study that are in none of its blocks.

    `measured` has the ids of measured sessions. `ended` counts sessions without a measurement, by status.
    """

    measured: tuple[str, ...] = ()
    ended: tuple[tuple[str, int], ...] = ()


def read_beside(folder: Path, manifest: Manifest) -> OtherSessions:
    """Returns the records that the manifest does not name. Skips unreadable files: other readers report them."""
    named_files = {entry.file for entry in manifest.sessions}
    paths = [path for path in spool.record_files(folder) if path.parent == folder and path.name not in named_files]
    heads = [head for head in map(_read_head, paths) if head is not None and _belongs_to(head, manifest)]
    named_ids = {entry.session for entry in manifest.sessions}
    measured = [head.session.id for head in heads if head.outcome.status == MEASURED]
    ended = Counter(head.outcome.status for head in heads if head.outcome.status != MEASURED)
    return OtherSessions(
        tuple(session for session in measured if session not in named_ids), tuple(sorted(ended.items()))
    )


def _read_head(path: Path) -> SessionRecord | None:
    try:
        return written.read_head(path)
    except BadRecord:
        return None


def _belongs_to(record: SessionRecord, manifest: Manifest) -> bool:
    session, cell_keys = record.session, {arm.cell_key for arm in manifest.arms.values()}
    shared = (record.protocol, session.seed, session.study)
    return record.keys.cell_key in cell_keys and shared == (manifest.protocol, manifest.seed, manifest.study)
