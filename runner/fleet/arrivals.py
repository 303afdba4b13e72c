"""Records that have arrived from a node, kept in one durable file until each is in the spool and in the store.

A driver that is killed between the two leaves the file, and the next command finishes it. Both steps may be repeated:
a record has its own file name, and the store has one run for each session.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from runner.ab import manifest
from runner.cell.jsonform import from_json, to_json
from runner.errors import BadRecord
from runner.files import jsontext, plainfile
from runner.launch.session import Finished, Settings, committed
from runner.record import record, written
from runner.record.record import write_text_durably
from runner.record.sessionrecord import SessionRecord
from runner.record.spool import MANIFEST_NAME
from runner.study import studystate

FOLDER = "arrived"


@dataclass(frozen=True)
class Arrival:
    """Records for a folder of the spool, by their names there, in the order of their sessions. An A/B's folder also
    gets its manifest."""

    folder: str
    records: dict[str, str]
    manifest: str | None


def arrival(folder: str, texts: tuple[str, ...], of_pair: str | None) -> Arrival:
    """Returns the arrival of these records for a folder of the spool. Raises BadRecord if one is damaged."""
    found = [(_parsed(text), text) for text in texts]
    ordered = sorted(found, key=lambda each: each[0].session.index)
    return Arrival(folder, {record.file_name(each.cell, each.session): text for each, text in ordered}, of_pair)


def _parsed(text: str) -> SessionRecord:
    name = "a record of a node"
    return written.typed(record.parse(text, name), name)


def taken(arrived: Arrival, settings: Settings) -> Iterator[Finished]:
    """Writes the records into the spool and commits them. Yields each as a finished session.

    The file that keeps them meanwhile stays if the store did not answer, or if this process is stopped.
    """
    file = settings.spool / studystate.FOLDER / FOLDER / f"{uuid4().hex}.json"
    write_text_durably(file, json.dumps(to_json(arrived)))
    yield from _stored(file, arrived, settings)


def _stored(file: Path, arrived: Arrival, settings: Settings) -> Iterator[Finished]:
    folder = settings.spool / arrived.folder
    for name, text in arrived.records.items():
        write_text_durably(folder / name, text)
    if arrived.manifest is not None and _grows(folder / MANIFEST_NAME, arrived.manifest):
        write_text_durably(folder / MANIFEST_NAME, arrived.manifest)
    is_stored = True
    for name in arrived.records:
        finished = committed(written.read(folder / name), folder / name, settings)
        is_stored = is_stored and finished.store_error is None
        yield finished
    if is_stored:
        file.unlink()


def _grows(file: Path, text: str) -> bool:
    """Returns whether a manifest continues that of the file. A later command may have continued that one already."""
    if not file.exists():
        return True
    present, arrived = manifest.read(file).sessions, manifest.parse(text, str(file)).sessions
    return len(arrived) > len(present) and arrived[: len(present)] == present


def left(settings: Settings) -> Iterator[Finished]:
    """Takes the records that an earlier command had received and not stored. Yields each as a finished session.

    Raises BadRecord if a file of them is damaged.
    """
    for file in sorted((settings.spool / studystate.FOLDER / FOLDER).glob("*.json")):
        yield from _stored(file, _kept(file), settings)


def _kept(file: Path) -> Arrival:
    try:
        return from_json(Arrival, jsontext.loads(plainfile.read_text(file)))
    except (OSError, ValueError) as error:
        raise BadRecord(
            f"{file}: records of a node that cannot be read ({error}): remove the file; its sessions are then measured "
            "again"
        ) from error
