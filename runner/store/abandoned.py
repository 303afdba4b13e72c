"""Runs that are RUNNING though nobody will close them: which they are, and their end.

A run is open while its owner lives. An owner is known from the run's tag (`owner`), or from a marker in the spool,
which is there before the store could be asked.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from runner.processes import proc
from runner.processes.proc import ENDED, LIVES, UNKNOWN, Process
from runner.record import open_runs
from runner.store import address, connection
from runner.store.commit import OPEN, terminate
from runner.store.failed_run import REASON_TAG, describe_failure
from runner.store.look import running
from runner.store.look.seen import RunningRun
from runner.store.made_run import find_run
from runner.store.owner import ABANDONED, owner_of
from runner.store.session_run import OWNER_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KILLED = "the process ended without closing the run (it was killed, or the power failed)"


@dataclass(frozen=True)
class Running:
    """Runs of this program that are RUNNING, by the state of their owner; `unknown` also has those without one."""

    living: tuple[RunningRun, ...]
    ended: tuple[RunningRun, ...]
    unknown: tuple[RunningRun, ...]


@dataclass(frozen=True)
class Closed:
    """The ids of the runs that were closed, and of those that may be abandoned but were left open."""

    closed: tuple[str, ...]
    left: tuple[str, ...]


def running_of(uri: str) -> Running:
    """Returns the runs of this program in a store that are RUNNING. Raises as `look.running.read`."""
    by_state: dict[str, list[RunningRun]] = {LIVES: [], ENDED: [], UNKNOWN: []}
    for run in running.read(uri):
        owner = owner_of(run.tags)
        by_state[UNKNOWN if owner is None else proc.state(owner)].append(run)
    return Running(*(tuple(by_state[state]) for state in (LIVES, ENDED, UNKNOWN)))


def close_abandoned(folder: Path, older_than: timedelta | None) -> Closed:
    """Closes as FAILED the runs of processes of this host that have ended: those with a marker in `folder`, and those
    whose owner the store names.

    Also closes runs whose owner cannot be asked, if they are older than `older_than`. The run of a process that lives
    on this host stays open, whatever its age. A marker of a run that is not in this store is kept. Raises
    StoreUnreachable.
    """
    uri = address.tracking_uri()
    markers = list(open_runs.abandoned_markers(folder))
    with connection.one_line_read_errors(uri):
        found = running_of(uri)
    old = [] if older_than is None else [run for run in found.unknown if _age(run) > older_than]
    unknown = tuple(run.id for run in found.unknown)
    if not (markers or found.ended or old):
        return Closed((), unknown)
    with connection.opened() as client:
        closed = [marker.name for marker in markers if _close_marked(client, marker)]
        closed += [run.id for run in found.ended if _close(client, run, _ended_text(owner_of(run.tags)))]
        closed += [run.id for run in old if _close(client, run, _old_text(run))]
    return Closed(tuple(closed), tuple(run_id for run_id in unknown if run_id not in closed))


def _age(run: RunningRun) -> timedelta:
    return timedelta(milliseconds=time.time() * 1000 - run.started_ms)


def _ended_text(owner: Process | None) -> str:
    return KILLED if owner is None else f"{KILLED}: pid {owner.pid} of this host"


def _old_text(run: RunningRun) -> str:
    where = "of another host or container" if owner_of(run.tags) else "that the run does not name"
    minutes = _age(run) // timedelta(minutes=1)
    age = f"{minutes // 60} h" if minutes >= 60 else f"{minutes} min"
    return f"RUNNING for {age}, and the process {where} cannot be asked: closed by an import with --older-than"


def _close(client: MlflowClient, found: RunningRun, message: str) -> bool:
    """Closes a run, unless it was closed or has got another owner meanwhile."""
    run = find_run(client, found.id)
    if run is None or not _is_open(run) or run.data.tags.get(OWNER_TAG) != found.tags.get(OWNER_TAG):
        return False
    describe_failure(client, run, _tags(message))
    terminate(client, found.id, "FAILED")
    return True


def _close_marked(client: MlflowClient, marker: Path) -> bool:
    run = find_run(client, marker.name)
    if run is None:
        return False
    is_open, owner = _is_open(run), owner_of(run.data.tags)
    if is_open and owner is not None and proc.state(owner) == LIVES:
        return False
    # if MLflow outlived this process, it has closed the run without a reason
    unexplained = run.info.status == "FAILED" and REASON_TAG not in run.data.tags
    if is_open or unexplained:
        describe_failure(client, run, _tags(KILLED))
    if is_open:
        terminate(client, marker.name, "FAILED")
    with suppress(OSError):  # if another user owns it, the next import finds the run closed
        marker.unlink()
    return is_open or unexplained


def _is_open(run: Run) -> bool:
    return run.info.lifecycle_stage == "active" and run.info.status in OPEN


def _tags(message: str) -> Mapping[str, str]:
    return {REASON_TAG: ABANDONED, "message": message, "valid": "false"}
