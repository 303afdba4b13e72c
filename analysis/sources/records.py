"""Sessions from record files, each checked by the rules of `runner verify`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from analysis.sources import runs
from analysis.sources.frame import Details, Frame, in_order, sessions_of
from runner.ab import check, facts, manifest
from runner.ab.beside import OtherSessions, read_beside
from runner.ab.manifest import Manifest
from runner.errors import BadRecord, BadValue
from runner.files import plainfile
from runner.record import spool
from runner.record.record import RESTORE
from runner.record.sessionrecord import SessionRecord
from runner.record.verify import recompute
from runner.record.verify.copies import Copies
from runner.store.session_run import View, view

ManifestBeside = tuple[Manifest, OtherSessions]
NAME_RECORDS = "name a folder of records with --records"
"""Remedy for a folder that a command is to read."""


class NoRecords(BadValue):
    """A folder without any record."""


class Folder:
    """A `frame.Source` of record files. Damaged files are left out and named, so that the others can be used."""

    def __init__(self, folder: Path) -> None:
        """Reads the folder. Raises NoRecords if it has no record, BadValue if it is no folder."""
        self.label = plainfile.path_text(folder)
        self._records, self._files, rejected = read_folder(folder)
        by_id, unusable = _manifests(folder, self._records)
        self._manifests = [manifest for manifest, _ in by_id.values()]
        self._beside = {name: files for name, (_, files) in by_id.items()}
        self._facts = {session: facts.record_facts(self._records[session]) for session in sessions_of(self._manifests)}
        self._left_out = (*rejected, *unusable)
        self._views = [view(record) for record in self._records.values()]

    def frame(self, needed: Sequence[str]) -> Frame:
        frame = frame_of(self._views, needed, self._manifests, self._left_out)
        return replace(frame, record_files=self._files, beside=self._beside, facts=self._facts)

    compared = frame

    def details(self, sessions: Sequence[str]) -> dict[str, Details]:
        requested = set(sessions)
        return {view.session: runs.details_of(view) for view in self._views if view.session in requested}


def frame_of(
    views: Iterable[View], needed: Sequence[str], manifests: Iterable[Manifest] = (), left_out: Iterable[str] = ()
) -> Frame:
    """Returns the frame of sessions, given as views of their runs in MLflow, with the columns `needed` (as in
    `Source.frame`) and these A/Bs. A session that cannot be used adds a line to those of `left_out`."""
    session_runs = map(runs.run_of_view, views)
    return runs.frame(session_runs, needed, manifests=in_order(manifests), left_out=left_out)


def frame_of_records(records: Iterable[SessionRecord], needed: Sequence[str]) -> Frame:
    """Returns the frame of records that were read and checked before."""
    return frame_of(map(view, records), needed)


def read_folder(folder: Path) -> tuple[dict[str, SessionRecord], dict[str, str], list[str]]:
    """Returns the records below the folder by session id, their relative paths by session id, and a line for each
    rejected record.

    Raises NoRecords for a folder without any record, BadValue for something else than a folder.
    """

    spool.check_folder(folder, NAME_RECORDS)
    paths = spool.record_files(folder)
    if not paths:
        raise NoRecords(str(spool.without_records(folder, NAME_RECORDS)))
    records: dict[str, SessionRecord] = {}
    files: dict[str, str] = {}
    rejected: list[str] = []
    copies = Copies()
    for path in paths:
        try:
            record = recompute.read_verified(path)
        except BadRecord as error:
            rejected.append(str(error))
            continue
        if differences := list(copies.differences(plainfile.path_text(path), record)):
            rejected.append(f"{path}: {differences[0]}")
            continue
        records[record.session.id] = record
        files[record.session.id] = plainfile.path_text(path.relative_to(folder))
    return records, files, rejected


def _manifests(folder: Path, records: dict[str, SessionRecord]) -> tuple[dict[str, ManifestBeside], list[str]]:
    """Returns the A/Bs below the folder that match these records, by id, and a line for each that does not.

    Each A/B comes with the files of its folder that are in no block.
    """
    by_id: dict[str, ManifestBeside] = {}
    rejected: list[str] = []
    for path in spool.manifest_files(folder):
        try:
            manifest_read = _checked(path, records)
        except BadRecord as error:
            rejected.append(str(error))
            continue
        if manifest_read.id in by_id:
            rejected.append(f"{path}: A/B {manifest_read.id} is in another file as well: remove one of them")
        else:
            by_id[manifest_read.id] = manifest_read, read_beside(path.parent, manifest_read)
    return by_id, rejected


def _checked(path: Path, records: dict[str, SessionRecord]) -> Manifest:
    checked = manifest.read(path)
    for entry in checked.sessions:
        if entry.session not in records:
            raise BadRecord(
                f"{path}: session {entry.session} ({entry.file}) is not among the records that can be used: {RESTORE}"
            )
    if lines := list(check.differences(checked, {entry.session: records[entry.session] for entry in checked.sessions})):
        raise BadRecord(f"{path}: {lines[0]}: {manifest.RESTORE}")
    return checked
