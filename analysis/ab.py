"""A/B comparisons read from records or a store, each with its sessions and statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import polars

from analysis import groups
from analysis.sources import records
from analysis.sources.columns import IMAGE, SESSION
from analysis.sources.frame import Cell, Frame, sessions_of
from analysis.statistics import cached
from analysis.statistics.comparison import Comparison, HostSessions
from runner.ab import check, facts
from runner.ab.beside import OtherSessions
from runner.ab.facts import Facts
from runner.ab.manifest import Manifest
from runner.errors import BadRecord, BadValue
from runner.record import spool
from runner.record.record import MEASURED

METRICS = (groups.WALL, "kernels_per_step", "step_busy_ms", "launch_us", "read_gbs")
IMPORT_AGAIN = "import its folder again with `python -m runner import FOLDER`"
NEEDED = (*METRICS, SESSION, IMAGE)
"""Metrics and optional columns that a frame must have for A/B comparisons."""


@dataclass(frozen=True)
class Session:
    """A session of an A/B. Times are in milliseconds since the epoch. A metric that was not measured is None."""

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
    """digest of the container's image, empty without a container"""
    started_ms: int
    finished_ms: int
    step_wall_ms: float
    """None where it was not measured; never None in a complete block"""
    kernels_per_step: float | None
    step_busy_ms: float | None
    launch_us: float | None
    read_gbs: float | None


SESSION_COLUMNS = [field.name for field in fields(Session)]


@dataclass(frozen=True)
class Measured:
    """An A/B with the sessions of its complete blocks by id, and their comparison.

    `unused` has the reason for each unused block. `beside` lists the files of its folder that are in no block.
    """

    manifest: Manifest
    sessions: Mapping[str, Session]
    hosts: tuple[HostSessions, ...]
    comparison: Comparison
    unused: tuple[str, ...]
    beside: OtherSessions

    def arm(self, name: str) -> list[Session]:
        """Returns the sessions of an arm in the order of measurement."""
        blocks = self.manifest.complete
        return [self.sessions[entry.session] for block in blocks for entry in block.sessions if entry.arm == name]

    @property
    def period_ms(self) -> tuple[int, int]:
        """Returns the start of the first and the end of the last session, in milliseconds since the epoch."""
        sessions = self.sessions.values()
        return min(session.started_ms for session in sessions), max(session.finished_ms for session in sessions)


def from_frame(frame: Frame, bootstrapped: bool = True) -> tuple[list[Measured], list[str]]:
    """Returns the A/Bs of a frame that have a complete block, and a line for each A/B that cannot be used.

    An A/B cannot be used if its sessions are incomplete or contradict its manifest. `bootstrapped=False` skips the
    bootstrap, which dominates the run time.
    """
    by_id = _sessions(frame.sessions.filter(polars.col("session").is_in(list(sessions_of(frame.manifests)))))
    comparisons: list[Measured] = []
    left_out: list[str] = []
    for manifest in frame.manifests:
        try:
            session_facts = _session_facts(manifest, by_id, frame)
            beside = frame.beside.get(manifest.id, OtherSessions())
            comparisons += (
                [_measured(manifest, by_id, session_facts, beside, bootstrapped)] if manifest.complete else []
            )
        except BadRecord as error:
            left_out.append(str(error))
    return comparisons, left_out


def _sessions(rows: polars.DataFrame) -> dict[str, Session]:
    """Returns the sessions of a frame by id, as typed values."""
    return {row["session"]: Session(**row) for row in rows.select(SESSION_COLUMNS).iter_rows(named=True)}


def read(path: Path) -> Measured:
    """Returns the A/B of a manifest. Raises BadRecord if it is inconsistent or has no complete block."""
    checked = check.read_checked(path)
    if not checked.manifest.complete:
        raise BadRecord(f"{path}: no block is complete yet: run the `python -m runner ab` command that began it again")
    frame = records.frame_of_records(checked.records.values(), NEEDED)
    by_id = _sessions(frame.sessions)
    session_facts = {session: facts.record_facts(record) for session, record in checked.records.items()}
    return _measured(checked.manifest, by_id, session_facts, checked.beside)


def _session_facts(manifest: Manifest, by_id: Mapping[str, Session], frame: Frame) -> Mapping[str, Facts]:
    """Returns the facts of an A/B's sessions by id.

    Raises BadRecord if a session is missing, or if the manifest of a store contradicts its sessions. The manifest of a
    folder was checked when it was read.
    """
    name, entries = f"A/B {manifest.title} ({manifest.id})", manifest.sessions
    if missing := [entry.session for entry in entries if entry.session not in by_id]:
        raise BadRecord(f"{name}: {len(missing)} of its sessions are missing ({missing[0]}): {IMPORT_AGAIN}")
    if frame.facts:
        return frame.facts
    session_facts = {entry.session: _facts(by_id[entry.session], frame.cells) for entry in entries}
    if lines := list(check.manifest_errors(manifest, session_facts)):
        raise BadRecord(f"{name}: {lines[0]}: delete its runs, then {IMPORT_AGAIN}")
    return session_facts


def _facts(session: Session, cells: Mapping[str, Cell]) -> Facts:
    """Returns the facts of a session that a store has as tags: the environment by its key, the container by its
    image."""
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
    session_facts: Mapping[str, Facts],
    beside: OtherSessions,
    bootstrapped: bool = True,
) -> Measured:
    entries = [entry for block in manifest.complete for entry in block.sessions]
    sessions = {entry.session: by_id[entry.session] for entry in entries}
    hosts = tuple(
        _host(manifest, sessions, host_id) for host_id in dict.fromkeys(block.host_id for block in manifest.complete)
    )
    unused = tuple(check.unused_blocks(manifest, session_facts))
    return Measured(manifest, sessions, hosts, cached.compare(hosts, bootstrapped), unused, beside)


def _host(manifest: Manifest, sessions: Mapping[str, Session], host_id: str) -> HostSessions:
    entries = [entry for block in manifest.complete if block.host_id == host_id for entry in block.sessions]
    steps = {entry.session: sessions[entry.session].step_wall_ms for entry in entries}
    a, b = (tuple(steps[entry.session] for entry in entries if entry.arm == name) for name in ("a", "b"))
    return HostSessions(host_id, a, b)


def paths_in(folder: Path) -> list[Path]:
    """Returns the paths of the manifests below the folder. Raises BadValue if there is none."""
    spool.check_folder(folder)
    paths = spool.manifest_files(folder)
    if not paths:
        raise BadValue(
            f"{folder}: no A/B there (no {spool.MANIFEST_NAME}): "
            "name the folder that `python -m runner ab` wrote, or one above"
        )
    return paths


def read_all(paths: Sequence[Path]) -> tuple[list[Measured], list[str]]:
    """Returns the A/Bs of these manifests, and a line for each manifest that cannot be read."""
    comparisons: list[Measured] = []
    rejected: list[str] = []
    for path in paths:
        try:
            comparisons.append(read(path))
        except BadRecord as error:
            rejected.append(str(error))
    return comparisons, rejected
