"""The records in the folder of an A/B that none of its blocks has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.ab import facts
from runner.ab.manifest import Manifest
from runner.errors import BadRecord
from runner.record import record, spool

Record = Mapping[str, Any]
SHARED = ("protocol", "session.seed", "session.study")


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
    found = [each for each in map(_readable, others) if each is not None and _is_of(each, manifest)]
    known = {entry.session for entry in manifest.sessions}
    measured = [each["session"]["id"] for each in found if record.is_measured(each)]
    ended = Counter(each["outcome"]["status"] for each in found if not record.is_measured(each))
    return Beside(tuple(one for one in measured if one not in known), tuple(sorted(ended.items())))


def _readable(path: Path) -> Record | None:
    try:
        return record.read(path)
    except BadRecord:
        return None


def _is_of(found: Record, manifest: Manifest) -> bool:
    stated, keys = facts.of_record(found).stated, {arm.cell_key for arm in manifest.arms.values()}
    own = (manifest.protocol, manifest.seed, manifest.study)
    return found["keys"]["cell_key"] in keys and tuple(stated[name] for name in SHARED) == own
