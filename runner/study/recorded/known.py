"""The sessions that the spool knows: those that were tried before, read from their records.

Only a record whose file changed is read again. The rest is in a hidden file of the spool.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from runner import failures
from runner.cell.fieldtypes import value_or_none
from runner.cell.jsonform import to_json
from runner.cell.protocol import Protocol
from runner.cell.vocabulary import ON
from runner.errors import BadRecord
from runner.hostcondition import condition
from runner.record import record, spool, written
from runner.record.record import ENV_KEY_VERSIONS
from runner.record.sections.head import MEASURED, MeasuredKeys
from runner.record.sections.surroundings import Cost, Environment
from runner.record.sessionrecord import MeasuredRecord, SessionRecord
from runner.study.recorded import cache

CACHE_NAME = ".known-sessions"
VERSION = 1
"""Version of the cache. It grows if a field of `Known` gets another meaning."""


@dataclass(frozen=True)
class Known:
    """A session, measured or failed. A field that only a measured session has is None or empty if it failed."""

    path: Path
    session_id: str
    study: str
    seed: int
    index: int
    started_ms: int
    cell_key: str
    protocol: Protocol
    status: str
    reason: str | None
    message: str | None
    signal: str | None
    """signal that killed the worker"""
    valid: bool
    reasons: tuple[str, ...]
    """why it is not valid"""
    flags: tuple[str, ...]
    container: str | None
    """digest of the image; None if it ran in the runner's own interpreter"""
    code_key: str | None
    code_files: tuple[str, ...] | None
    """files that code_key covers; None if the record does not name them"""
    env_key: str | None
    versions: Mapping[str, str | None]
    """versions that env_key is a hash of, by name"""
    host_id: str | None
    energy: bool
    """whether the energy of a step was to be measured, too"""
    host_condition: str | None
    """condition of the host as requested; None on the host as it is"""
    cost_s: Mapping[str, float | None]
    """seconds of each phase, by the names of the record"""

    @property
    def is_measured(self) -> bool:
        """Returns whether the session ran to its end, valid or not."""
        return self.status == MEASURED


@dataclass(frozen=True)
class Unreadable:
    """A file that cannot be read as a record, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Found:
    """The sessions of a spool, and the files there that tell nothing."""

    sessions: tuple[Known, ...]
    unreadable: tuple[Unreadable, ...]


@dataclass(frozen=True)
class _Measurement:
    """Sections of a measured record."""

    keys: MeasuredKeys
    environment: Environment
    cost_s: Cost


Stamp: TypeAlias = tuple[int, int]
"""Size of a file in bytes, and the ns of its last change."""
Kept: TypeAlias = dict[str, tuple[Stamp, list[Any]]]
"""Path from the spool → values of the columns."""
COLUMNS = tuple(field.name for field in fields(Known) if field.name != "path")
SHARED: Mapping[str, Callable[[Any], Any]] = {
    "protocol": lambda value: Protocol(**value),
    "code_files": lambda value: None if value is None else tuple(value),
    "versions": dict,
}
"""Column with few different values, which the cache has once → the value of its JSON value."""
SERIES = (COLUMNS.index("reasons"), COLUMNS.index("flags"))
"""Places of the columns that are arrays in JSON."""
FORM = f"sessions {VERSION}: {' '.join(COLUMNS)}"


def read(folder: Path) -> Found:
    """Returns the sessions of a spool and of the folders below it, in the order of their paths.

    A session with several files is that of the first one. A spool that does not exist yet has no sessions.
    """
    if not folder.exists():
        return Found((), ())
    kept, inside = _read_cache(folder), os.path.join(folder, "")
    known: dict[str, tuple[Stamp, Known]] = {}
    unreadable: list[Unreadable] = []
    is_new = False
    for path in spool.record_files(folder):
        name = str(path).removeprefix(inside)
        try:
            stamp = _stamp(path)  # before the record is read: a later change is then noticed the next time
            before = kept.get(name)
            if before and before[0] == stamp:
                known[name] = stamp, Known(path, *before[1])
            else:
                known[name], is_new = (stamp, _of_file(path)), True
        except BadRecord as error:
            unreadable.append(Unreadable(path, str(error).removeprefix(f"{path}: ")))
    if is_new or len(known) < len(kept):
        _write_cache(folder, known)
    sessions: dict[str, Known] = {}
    for _, session in known.values():
        sessions.setdefault(session.session_id, session)
    return Found(tuple(sessions.values()), tuple(unreadable))


def _stamp(path: Path) -> Stamp:
    """Raises BadRecord if there is no such file."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise record.damaged(str(path), failures.reason(error)) from error
    return status.st_size, status.st_mtime_ns


def of_record(session: SessionRecord, path: Path) -> Known:
    """Returns what is known of a session that has just ended."""
    if isinstance(session, MeasuredRecord):
        return _known(path, session, _Measurement(session.keys, session.environment, session.cost_s))
    return _known(path, session, None)


def _of_file(path: Path) -> Known:
    """Raises BadRecord if the file cannot be read as a record. Only the sections that are used are looked at."""
    data = record.read(path)
    is_measured = data["outcome"]["status"] == MEASURED
    return _known(
        path, written.head(data, str(path)), written.part(_Measurement, data, str(path)) if is_measured else None
    )


def _known(path: Path, head: SessionRecord, measurement: _Measurement | None) -> Known:
    session, outcome, container = head.session, head.outcome, value_or_none(head.container)
    keys = measurement.keys if measurement else None
    versions = to_json(measurement.environment) if measurement else None
    return Known(
        path=path,
        session_id=session.id,
        study=session.study,
        seed=session.seed,
        index=session.index,
        started_ms=session.started_ms,
        cell_key=head.keys.cell_key,
        protocol=head.protocol,
        status=outcome.status,
        reason=outcome.reason,
        message=outcome.message,
        signal=outcome.signal,
        valid=head.valid,
        reasons=head.reasons,
        flags=head.flags,
        container=container.digest if container else None,
        code_key=keys.code_key if keys else None,
        code_files=value_or_none(keys.code_files) if keys else None,
        env_key=keys.env_key if keys else None,
        versions={name: versions.get(name) for name in ENV_KEY_VERSIONS} if versions else {},
        host_id=keys.host_id if keys else None,
        energy=head.request.get("energy") == ON,
        host_condition=condition.requested(head.request),
        cost_s=to_json(measurement.cost_s) if measurement else {},
    )


def _write_cache(folder: Path, known: Mapping[str, tuple[Stamp, Known]]) -> None:
    shared: dict[str, dict[str, int]] = {column: {} for column in SHARED}
    files = [[name, *stamp, _row(session, shared)] for name, (stamp, session) in known.items()]
    tables = {column: [json.loads(text) for text in table] for column, table in shared.items()}
    cache.write(folder / CACHE_NAME, FORM, {"shared": tables, "files": files})


def _row(session: Known, shared: Mapping[str, dict[str, int]]) -> list[Any]:
    """Returns the values of the columns. A shared one is the place of its value in a table."""
    row = [to_json(getattr(session, column)) for column in COLUMNS]
    for column, table in shared.items():
        place = COLUMNS.index(column)
        row[place] = table.setdefault(json.dumps(row[place]), len(table))
    return row


def _read_cache(folder: Path) -> Kept:
    kept = cache.read(folder / CACHE_NAME, FORM)
    if kept is None:
        return {}
    tables = {column: [decoded(value) for value in kept["shared"][column]] for column, decoded in SHARED.items()}
    places = [(COLUMNS.index(column), values) for column, values in tables.items()]
    for _, _, _, row in kept["files"]:
        for place, values in places:
            row[place] = values[row[place]]
        for place in SERIES:
            row[place] = tuple(row[place])
    return {name: ((size, changed_ns), row) for name, size, changed_ns, row in kept["files"]}
