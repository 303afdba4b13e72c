"""Sessions from record files, each held against what `runner verify` asks of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from analysis.sources import runs
from analysis.sources.frame import Details, Frame, in_order, sessions_of
from runner.ab import check, facts, manifest
from runner.ab.beside import Beside, read_beside
from runner.ab.manifest import Manifest
from runner.errors import BadRecord
from runner.files import plainfile
from runner.record import spool
from runner.record.sessionrecord import SessionRecord
from runner.record.verify import recompute
from runner.record.verify.copies import Copies
from runner.store.session_run import View, view

Found = tuple[Manifest, Beside]


class Folder:
    """See `frame.Source`. A table of many sessions does not wait for one damaged file: what is wrong is left out and
    named."""

    def __init__(self, folder: Path) -> None:
        """Raises BadRecord for a folder without any record."""
        self.shown = plainfile.shown(folder)
        self._records, self._files, rejected = read_folder(folder)
        found, unusable = _manifests(folder, self._records)
        self._manifests = [one for one, _ in found.values()]
        self._beside = {name: beside for name, (_, beside) in found.items()}
        self._facts = {session: facts.of_record(self._records[session]) for session in sessions_of(self._manifests)}
        self._left_out = (*rejected, *unusable)
        self._views = [view(found) for found in self._records.values()]

    def frame(self, asked: Sequence[str]) -> Frame:
        made = frame_of(self._views, asked, self._manifests, self._left_out)
        return replace(made, record_files=self._files, beside=self._beside, facts=self._facts)

    compared = frame

    def details(self, sessions: Sequence[str]) -> dict[str, Details]:
        wanted = set(sessions)
        return {one.session: runs.details_of(one) for one in self._views if one.session in wanted}


def frame_of(
    views: Iterable[View], asked: Sequence[str], manifests: Iterable[Manifest] = (), left_out: Iterable[str] = ()
) -> Frame:
    """The frame of sessions as their runs in MLflow would look."""
    found = map(runs.of_view, views)
    return runs.frame(found, asked, manifests=in_order(manifests), left_out=left_out)


def frame_of_records(found: Iterable[SessionRecord], asked: Sequence[str]) -> Frame:
    """Returns the frame of records that were read and checked before."""
    return frame_of(map(view, found), asked)


def read_folder(folder: Path) -> tuple[dict[str, SessionRecord], dict[str, str], list[str]]:
    """Every record below the folder by session id, its file's path there, and a line for each that `runner verify`
    rejects. Raises BadRecord for a folder without any record."""

    spool.check_folder(folder, BadRecord)
    paths = spool.record_files(folder)
    if not paths:
        raise BadRecord(f"{folder}: no records there")
    found: dict[str, SessionRecord] = {}
    files: dict[str, str] = {}
    rejected: list[str] = []
    seen = Copies()
    for path in paths:
        try:
            one = recompute.read_verified(path)
        except BadRecord as error:
            rejected.append(str(error))
            continue
        if copied := list(seen.differences(plainfile.shown(path), one)):
            rejected.append(f"{path}: {copied[0]}")
            continue
        found[one.session.id] = one
        files[one.session.id] = plainfile.shown(path.relative_to(folder))
    return found, files, rejected


def _manifests(folder: Path, records: dict[str, SessionRecord]) -> tuple[dict[str, Found], list[str]]:
    """The A/Bs below the folder that hold together with these records, by id, each with what lies beside it, and a line
    for each that does not."""
    found: dict[str, Found] = {}
    rejected: list[str] = []
    for path in spool.manifest_files(folder):
        try:
            one = _checked(path, records)
        except BadRecord as error:
            rejected.append(str(error))
            continue
        if one.id in found:
            rejected.append(f"{path}: A/B {one.id} is in another file as well")
        else:
            found[one.id] = one, read_beside(path.parent, one)
    return found, rejected


def _checked(path: Path, records: dict[str, SessionRecord]) -> Manifest:
    one = manifest.read(path)
    for entry in one.sessions:
        if entry.session not in records:
            raise BadRecord(f"{path}: session {entry.session} ({entry.file}) is not among the records that can be used")
    if lines := list(check.differences(one, {entry.session: records[entry.session] for entry in one.sessions})):
        raise BadRecord(f"{path}: {lines[0]}")
    return one
