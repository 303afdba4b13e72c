"""The entry: the process that `mlflow run` started, which owns the run MLflow made, and its end."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner import host
from runner.cell import short_hash
from runner.errors import DecodeFloorError
from runner.store import connection
from runner.store.commit import terminate
from runner.store.experiment import experiment_id, places
from runner.store.view import TAG_LENGTH

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

ENTRY_TAG = "decode_floor.entry"
ABANDONED = "abandoned"
START_TIME_FIELD = 19  # of /proc/<pid>/stat after the command's name: ticks from boot to the process's start
PAGE = 1000


@dataclass(frozen=True)
class Process:
    """What no other process can be taken for; `host` and `boot` are hashes, `pid` counts in `namespace`."""

    host: str
    boot: str
    namespace: str
    pid: int
    started: str


def this_process() -> Process:
    """The process that runs this line."""
    pid = os.getpid()
    return Process(_host(), _boot(), _namespace(), pid, _start_time(pid) or "")


def _host() -> str:
    """Machine and host name together: containers of one image share the first, never the second."""
    return short_hash([host.machine_id(), socket.gethostname()], 16)


def _boot() -> str:
    return short_hash(_text("/proc/sys/kernel/random/boot_id"), 16)


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _start_time(pid: int) -> str | None:
    """When the process began, None when there is none (a zombie has ended too)."""
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[START_TIME_FIELD] if fields and fields[0] not in ("Z", "X") else None


def has_ended(process: Process) -> bool:
    """Is that process surely no more? False where this cannot be known from here."""
    if process.host != _host():
        return False
    if process.boot != _boot():
        return True
    return process.namespace == _namespace() and _start_time(process.pid) != process.started


def open_run(run_id: str) -> None:
    """Mark the run as this process's, so that it can be closed if the process is killed. Never raises."""
    tag = json.dumps(asdict(this_process()))
    _or_warn(lambda: _set_tags(run_id, {ENTRY_TAG: tag}), f"run {run_id} is not marked as ours")


def fail_run(run_id: str, reason: str, exit_code: int, message: str, killed: bool = False) -> None:
    """Close a run that has no record, FAILED or KILLED, with the reason as tags. Never raises."""
    tags = {"reason": reason, "exit_code": str(exit_code), "message": message[:TAG_LENGTH], "valid": "false"}
    _or_warn(lambda: _close(run_id, tags, "KILLED" if killed else "FAILED"), f"run {run_id} was not closed")


def _or_warn(action: Callable[[], None], consequence: str) -> None:
    try:
        action()
    except DecodeFloorError as error:
        print(f"warning: {consequence}: {error}", file=sys.stderr)


def _set_tags(run_id: str, tags: dict[str, str]) -> None:
    with connection.opened() as client:
        _log_tags(client, run_id, tags)


def _close(run_id: str, tags: dict[str, str], status: str) -> None:
    with connection.opened() as client:
        _log_tags(client, run_id, tags)
        terminate(client, run_id, status)


def _log_tags(client: MlflowClient, run_id: str, tags: dict[str, str]) -> None:
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()], synchronous=True)


def close_abandoned() -> list[str]:
    """Close, as FAILED, the runs whose entry was killed on this host; their ids. Raises StoreUnreachable."""
    with connection.opened() as client:
        abandoned = [run.info.run_id for run in _running(client) if _is_abandoned(run)]
        for run_id in abandoned:
            message = "the process that measured it ended without closing the run (killed, or the power went)"
            _log_tags(client, run_id, {"reason": ABANDONED, "message": message, "valid": "false"})
            terminate(client, run_id, "FAILED")
        return abandoned


def _running(client: MlflowClient) -> list[Run]:
    wanted = f"attributes.status = 'RUNNING' AND tags.`{ENTRY_TAG}` LIKE '%{_host()}%'"
    return list(client.search_runs(places(experiment_id(client)), wanted, max_results=PAGE))


def _is_abandoned(run: Run) -> bool:
    try:
        owner = Process(**json.loads(run.data.tags[ENTRY_TAG]))
    except (ValueError, TypeError):
        return False
    return has_ended(owner)
