"""A/Bs, each as one row: arms, ratio, intervals, verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import polars

from analysis import groups
from analysis.sources import records
from analysis.sources.columns import IMAGE, SESSION
from analysis.sources.frame import Cell, Frame, sessions_of
from analysis.statistics import kept
from analysis.statistics.comparison import Comparison, HostSessions
from runner.ab import check, facts
from runner.ab.beside import Beside
from runner.ab.facts import Facts
from runner.ab.manifest import Manifest
from runner.errors import BadRecord
from runner.record import spool
from runner.record.record import MEASURED

METRICS = (groups.WALL, "kernels_per_step", "step_busy_ms", "launch_us", "read_gbs")
ASKED = (*METRICS, SESSION, IMAGE)
"""What a frame must have for them."""


@dataclass(frozen=True)
class Session:
    """A session of an A/B. Times are milliseconds since the epoch; a metric that the session lacks is None."""

    session: str
    cell_key: str
    code_key: str | None
    env_key: str
    host_id: str | None
    protocol: str
    status: str
    valid: bool
    flags: str
    """separated by commas"""
    reasons: str
    image_digest: str
    """of the container's image, empty without one"""
    started_ms: int
    finished_ms: int
    step_wall_ms: float
    """None where it was not measured; the sessions of a complete block all were"""
    kernels_per_step: float | None
    step_busy_ms: float | None
    launch_us: float | None
    read_gbs: float | None


SESSION_COLUMNS = [each.name for each in fields(Session)]


@dataclass(frozen=True)
class Measured:
    """An A/B with the sessions of its complete blocks, by id, and what follows from them. `unused` has the reason of
    each other block, `beside` what lies in its folder and in none of its blocks."""

    manifest: Manifest
    sessions: Mapping[str, Session]
    hosts: tuple[HostSessions, ...]
    comparison: Comparison
    unused: tuple[str, ...]
    beside: Beside

    def arm(self, name: str) -> list[Session]:
        """Returns the sessions of an arm, in the order in which they were measured."""
        blocks = self.manifest.complete
        return [self.sessions[entry.session] for block in blocks for entry in block.sessions if entry.arm == name]

    @property
    def period_ms(self) -> tuple[int, int]:
        """When it was measured, milliseconds since the epoch."""
        found = self.sessions.values()
        return min(each.started_ms for each in found), max(each.finished_ms for each in found)


def of_frame(frame: Frame, bootstrapped: bool = True) -> tuple[list[Measured], list[str]]:
    """Returns every A/B of a frame that has a complete block, and a line for each whose sessions are not all there or
    do not fit it. Where only ratio and verdict are asked for, the bootstrap can be left out."""
    by_id = _sessions(frame.sessions.filter(polars.col("session").is_in(list(sessions_of(frame.manifests)))))
    found: list[Measured] = []
    left_out: list[str] = []
    for manifest in frame.manifests:
        try:
            told = _told(manifest, by_id, frame)
            beside = frame.beside.get(manifest.id, Beside())
            found += [_measured(manifest, by_id, told, beside, bootstrapped)] if manifest.complete else []
        except BadRecord as error:
            left_out.append(str(error))
    return found, left_out


def _sessions(found: polars.DataFrame) -> dict[str, Session]:
    """Returns the sessions of a frame by id: where polars ends and types begin."""
    return {row["session"]: Session(**row) for row in found.select(SESSION_COLUMNS).iter_rows(named=True)}


def read(path: Path) -> Measured:
    """Returns the A/B of a manifest. Raises BadRecord where it does not hold together or has no complete block."""
    checked = check.read_checked(path)
    if not checked.manifest.complete:
        raise BadRecord(f"{path}: no block is complete yet: run the same `ab` command again")
    frame = records.frame_of_records(checked.records.values(), ASKED)
    by_id = _sessions(frame.sessions)
    told = {session: facts.of_record(found) for session, found in checked.records.items()}
    return _measured(checked.manifest, by_id, told, checked.beside)


def _told(manifest: Manifest, by_id: Mapping[str, Session], frame: Frame) -> Mapping[str, Facts]:
    """Returns what the sessions of an A/B tell. Raises BadRecord where one is not there, or the manifest of a store
    says otherwise; that of a folder was held against the records when it was read."""
    name, entries = f"A/B {manifest.title} ({manifest.id})", manifest.sessions
    if missing := [entry.session for entry in entries if entry.session not in by_id]:
        raise BadRecord(f"{name}: {len(missing)} of its sessions are not there ({missing[0]})")
    if frame.facts:
        return frame.facts
    told = {entry.session: _facts(by_id[entry.session], frame.cells) for entry in entries}
    if lines := list(check.told_differences(manifest, told)):
        raise BadRecord(f"{name}: {lines[0]}")
    return told


def _facts(session: Session, cells: Mapping[str, Cell]) -> Facts:
    """Returns what a store tells of a session at a glance: of its environment the key, of a container the image."""
    return Facts(
        stated={"session.id": session.session},
        cell_key=session.cell_key,
        kernel=cells[session.cell_key]["kernel"],
        host_id=session.host_id,
        code_key=session.code_key,
        place=f"the image {session.image_digest}" if session.image_digest else facts.INTERPRETER,
        versions={"env_key": session.env_key},
        is_measured=session.status == MEASURED,
        is_valid=session.valid,
        reasons=session.reasons,
        started_ms=session.started_ms,
        finished_ms=session.finished_ms,
    )


def _measured(
    manifest: Manifest,
    by_id: Mapping[str, Session],
    told: Mapping[str, Facts],
    beside: Beside,
    bootstrapped: bool = True,
) -> Measured:
    entries = [entry for block in manifest.complete for entry in block.sessions]
    sessions = {entry.session: by_id[entry.session] for entry in entries}
    hosts = tuple(_host(manifest, sessions, host_id) for host_id in dict.fromkeys(b.host_id for b in manifest.complete))
    unused = tuple(check.unused_blocks(manifest, told))
    return Measured(manifest, sessions, hosts, kept.compare(hosts, bootstrapped), unused, beside)


def _host(manifest: Manifest, sessions: Mapping[str, Session], host_id: str) -> HostSessions:
    entries = [entry for block in manifest.complete if block.host_id == host_id for entry in block.sessions]
    steps = {entry.session: sessions[entry.session].step_wall_ms for entry in entries}
    a, b = (tuple(steps[entry.session] for entry in entries if entry.arm == name) for name in ("a", "b"))
    return HostSessions(host_id, a, b)


def paths_in(folder: Path) -> list[Path]:
    """Returns the manifests below the folder. Raises BadRecord where there is none."""
    spool.check_folder(folder, BadRecord)
    paths = spool.manifest_files(folder)
    if not paths:
        raise BadRecord(f"{folder}: no A/B there (no {spool.MANIFEST_NAME})")
    return paths


def read_all(paths: Sequence[Path]) -> tuple[list[Measured], list[str]]:
    """Returns the A/Bs of these manifests, and a line for each that cannot be read."""
    found: list[Measured] = []
    rejected: list[str] = []
    for path in paths:
        try:
            found.append(read(path))
        except BadRecord as error:
            rejected.append(str(error))
    return found, rejected
