"""The entry: the process that `mlflow run` started, the run MLflow made for it, and the end of both."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from runner import terminal
from runner.errors import DecodeFloorError, Failure, Stopped
from runner.record import open_runs
from runner.redaction.redact import redact
from runner.store import connection
from runner.store.commit import OPEN, log_tags, terminate
from runner.store.made_run import known_run, made_run
from runner.store.session_run import TAG_LENGTH

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_VARIABLE = "MLFLOW_RUN_ID"
ABANDONED = {
    "reason": "abandoned",
    "message": "the process that measured it ended without closing the run (killed, or the power went)",
    "valid": "false",
}


class EntryRun:
    """The run that MLflow made for this process: marked in the spool, and closed once, by a commit or by `fail`."""

    def __init__(self, run_id: str) -> None:
        self.id = run_id
        self._marker: Path | None = None
        self._is_closed = False

    def mark(self, spool: Path) -> None:
        """From now on an import from the spool closes the run if this process is killed. Never raises."""
        self._marker = open_runs.leave(spool, self.id)

    def closed(self) -> None:
        """The run has got what it was made for, and is closed."""
        self._is_closed = True
        if self._marker is not None:
            with suppress(OSError):
                self._marker.unlink()

    def fail(self, error: Failure) -> None:
        """Close the run, unless it is, FAILED or KILLED with the reason as tags. Warns where the store is away."""
        if self._is_closed:
            return
        # without the host's lock: whoever holds it may measure for hours, and `mlflow run` itself, which no lock of
        # ours can keep waiting, has just loaded MLflow as well
        try:
            _close(self.id, error)
        except DecodeFloorError as away:
            terminal.say(f"warning: run {self.id} was not closed: {away}")
        else:
            self.closed()


def entry_run() -> EntryRun | None:
    """The run that `mlflow run` names in the environment; None where it did not start this process."""
    run_id = os.environ.get(RUN_VARIABLE)
    return EntryRun(run_id) if run_id else None


def _close(run_id: str, error: Failure) -> None:
    tags = {
        "reason": error.reason,
        "exit_code": str(error.exit_code),
        "message": redact(str(error))[:TAG_LENGTH],
        "valid": "false",
    }
    with connection.opened() as client:
        made_run(client, run_id)
        log_tags(client, run_id, tags)
        terminate(client, run_id, "KILLED" if isinstance(error, Stopped) else "FAILED")


def close_abandoned(folder: Path) -> list[str]:
    """Close, as FAILED, the runs whose process was killed, by the markers in `folder`; their ids.

    A run that the store does not know keeps its marker: it is in another one. Raises StoreUnreachable.
    """
    markers = list(open_runs.left_behind(folder))
    if not markers:
        return []
    with connection.opened() as client:
        return [path.name for path in markers if _close_abandoned(client, path)]


def _close_abandoned(client: MlflowClient, left: Path) -> bool:
    run = known_run(client, left.name)
    if run is None:
        return False
    is_open = run.info.lifecycle_stage == "active" and run.info.status in OPEN
    # MLflow, where it outlived us, has closed the run, but could not know why
    unexplained = run.info.status == "FAILED" and "reason" not in run.data.tags
    if is_open or unexplained:
        log_tags(client, left.name, ABANDONED)
    if is_open:
        terminate(client, left.name, "FAILED")
    with suppress(OSError):  # another user's: the next import finds the run closed
        left.unlink()
    return is_open or unexplained
