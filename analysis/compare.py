"""Comparison of one session with recorded runtimes of the same GPU, model, ctx and quant."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars

from analysis import groups
from analysis.group import Group
from analysis.groups import WALL
from analysis.sources.frame import Frame
from analysis.sources.records import NAME_RECORDS, frame_of_records
from runner import layout
from runner.counts import counted
from runner.errors import BadRecord, BadValue
from runner.hostcondition import condition
from runner.record import spool
from runner.record.record import MEASURED
from runner.record.sessionrecord import SessionRecord
from runner.record.verify import recompute

NAME_SPOOL = "name a record, or the folder of one, with --spool"
SHARED = ("gpu", "model", "ctx", "quant")
"""Fields of the cell in which the compared sessions agree."""
HEADER = ("recorded", "ms/step", "this session", "sessions", "host", "flags")
NUMERIC = ("ms/step", "sessions")


@dataclass(frozen=True)
class Subject:
    """The session that is compared: its id, the words of its cell, its host, and the median of its steps in ms."""

    session: str
    cell: Mapping[str, object]
    host_id: str
    step_ms: float

    @property
    def place(self) -> str:
        """Returns the fields that the compared sessions share."""
        return " ".join(str(self.cell[name]) for name in SHARED)

    def agrees(self, group: Group) -> bool:
        """Returns whether sessions of the group can be compared with this one."""
        return group.valid and all(getattr(group, name) == self.cell[name] for name in SHARED)


@dataclass(frozen=True)
class Comparison:
    """A session and the groups of recorded sessions that it is compared with, the fastest first. `unusable` counts the
    files that could not be read."""

    subject: Subject
    groups: Sequence[Group]
    unusable: int

    def lines(self, width: int) -> list[str]:
        """Returns the comparison as lines of `width` columns."""
        own = self.subject
        if not self.groups:
            return [f"No other session of {own.place} is recorded: nothing to compare with."]
        title = f"This session ({own.cell['runtime']}, {own.step_ms:.3f} ms) and recorded ones of {own.place}:"
        rows = [HEADER, *(_words(own, group) for group in self.groups)]
        return [title, *layout.aligned(rows, NUMERIC, width, indent="  ")]

    @property
    def notes(self) -> list[str]:
        """Returns a line if files could not be read."""
        if not self.unusable:
            return []
        return [f"{counted(self.unusable, 'record')} not compared: `python -m runner verify FOLDER` says why"]


def newest_record(folder: Path) -> Path:
    """Returns the file itself, or the newest record of a folder. Raises BadValue without a record."""
    if folder.is_file():
        return folder
    spool.check_folder(folder, NAME_SPOOL)
    paths = spool.record_files(folder)
    if not paths:
        raise spool.without_records(folder, NAME_SPOOL)
    return max(paths, key=lambda path: os.stat(path).st_mtime)


def check_records(folder: Path) -> None:
    """Raises BadValue if the folder does not exist or has no record of this project that can be used."""
    spool.check_folder(folder, NAME_RECORDS)
    faults: list[str] = []
    for path in spool.record_files(folder):
        try:
            recompute.read_verified(path)
        except BadRecord as error:
            faults.append(str(error))
        else:
            return
    if not faults:
        raise spool.without_records(folder, NAME_RECORDS)
    raise BadValue(f"{folder}: no usable record there: {faults[0]}")


def subject(frame: Frame, name: str) -> Subject:
    """Returns the newest session of the frame. Raises BadRecord if it was not measured or is not valid."""
    if frame.sessions.is_empty():
        raise BadRecord(f"{name}: it has no session on the host as it is: {'; '.join(frame.notes)}")
    newest = frame.sessions.row(-1, named=True)
    if newest["status"] != MEASURED or not newest["valid"]:
        raise BadRecord(f"{name}: the newest session, {newest['session']}, is not a valid measurement: measure again")
    return Subject(newest["session"], frame.cells[newest["cell_key"]], newest["host_id"], newest[WALL])


def compare(frame: Frame, name: str, folders: Iterable[Path]) -> Comparison:
    """Returns the comparison of a frame's newest session with the frame's others and with the records of folders.

    Raises BadRecord if that session is not a valid measurement, BadValue for a folder that does not exist.
    """
    compared = subject(frame, name)
    records, unusable = _records_like(compared.cell, folders)
    frames = [frame, frame_of_records(records, [WALL])] if records else [frame]
    return Comparison(compared, recorded(frames, compared), unusable)


def of_record(path: Path, folders: Iterable[Path]) -> Comparison:
    """Returns the comparison of a record with those of the folders, as `compare` does."""
    record = recompute.read_verified(path)
    if (declared := condition.requested(record.request)) is not None:
        raise BadRecord(f"{path}: it had host_condition={declared}: only sessions on the host as it is are compared")
    return compare(frame_of_records([record], [WALL]), str(path), folders)


def _records_like(cell: Mapping[str, object], folders: Iterable[Path]) -> tuple[list[SessionRecord], int]:
    """Returns the records of model and ctx in the folders, each session once, and the number of files that cannot be
    used. Only files whose names begin so are read."""
    start = f"{cell['model']}-{cell['ctx']}-"
    records: dict[str, SessionRecord] = {}
    unusable = 0
    for folder in folders:
        spool.check_folder(folder, NAME_RECORDS)
        for path in spool.record_files(folder):
            if path.name.startswith(start):
                try:
                    record = recompute.read_verified(path)
                except BadRecord:
                    unusable += 1
                else:
                    records.setdefault(record.session.id, record)
    return list(records.values()), unusable


def recorded(frames: Sequence[Frame], compared: Subject) -> list[Group]:
    """Returns the groups of other sessions that can be compared, the fastest first. A session of several frames counts
    in the first."""
    seen = {compared.session}
    found: list[Group] = []
    for frame in frames:
        others = frame.sessions.filter(~polars.col("session").is_in(list(seen)))
        found += [group for group in groups.rows(replace(frame, sessions=others), [WALL]) if compared.agrees(group)]
        seen.update(others["session"])
    return sorted(found, key=lambda group: group.wall_ms)


def _words(compared: Subject, group: Group) -> tuple[str, ...]:
    name = " ".join(filter(None, (group.runtime, group.kernel, group.cache, group.dtype, group.options)))
    speed = f"{group.wall_ms / compared.step_ms:.2f}x as fast"
    flags = ", ".join(group.flags)
    return name, f"{group.wall_ms:.3f}", speed, str(group.sessions), _host(compared.host_id, group.hosts), flags


def _host(host_id: str, hosts: Sequence[str]) -> str:
    if host_id not in hosts:
        return "another host" if len(hosts) == 1 else counted(len(hosts), "other host")
    return "this host" if len(hosts) == 1 else "this and other hosts"
