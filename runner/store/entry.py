"""Entry process of `mlflow run` and the run that MLflow made for it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from runner import terminal
from runner.errors import DecodeFloorError, Failure, Stopped
from runner.processes import signals
from runner.record import open_runs
from runner.redaction.redact import redact
from runner.store import connection, experiment
from runner.store.commit import OPEN, log_tags, terminate
from runner.store.failed_run import describe_failure
from runner.store.made_run import find_run, mlflow_run
from runner.store.session_run import TAG_LENGTH

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_VARIABLE = "MLFLOW_RUN_ID"
ABANDONED = {
    "reason": "abandoned",
    "message": "the process ended without closing the run (it was killed, or the power failed)",
    "valid": "false",
}


class EntryRun:
    """Run that MLflow made for this process. It has a marker in the spool, and a commit or `fail` closes it once."""

    def __init__(self, run_id: str) -> None:
        self.id = run_id
        self._marker: Path | None = None
        self._is_closed = False

    def mark(self, spool: Path) -> None:
        """Leaves a marker, so that an import from the spool closes the run if this process is killed. Never raises."""
        with signals.held():  # one that arrives before the marker's path is known would leave the marker behind
            self._marker = open_runs.write_marker(spool, self.id)

    def mark_closed(self) -> None:
        """Records that the run is filled and closed, and removes its marker."""
        self._is_closed = True
        if self._marker is not None:
            with suppress(OSError):
                self._marker.unlink()

    def fail(self, error: Failure) -> None:
        """Closes an open run as FAILED or KILLED, with the reason as tags. Warns if the store does not answer."""
        if self._is_closed:
            return
        # without the host's lock, which another session may hold for hours; `mlflow run` has just imported MLflow on
        # this host without it, too
        try:
            _close(self.id, error)
        except DecodeFloorError as away:
            terminal.say(f"warning: run {self.id} was not closed: {away}")
        else:
            self.mark_closed()


def entry_run() -> EntryRun | None:
    """Returns the run that the environment names; None if `mlflow run` did not start this process."""
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
        if (run := mlflow_run(client, run_id)) is None:
            log_tags(client, run_id, tags)  # raises the store's error
        else:
            experiment.describe(client, run.info.experiment_id)
            describe_failure(client, run, tags)
        terminate(client, run_id, "KILLED" if isinstance(error, Stopped) else "FAILED")


def close_abandoned(folder: Path) -> list[str]:
    """Closes as FAILED the runs with a marker in `folder` whose process was killed. Returns their ids.

    A run that is not in this store keeps its marker. Raises StoreUnreachable.
    """
    markers = list(open_runs.abandoned_markers(folder))
    if not markers:
        return []
    with connection.opened() as client:
        return [path.name for path in markers if _close_abandoned(client, path)]


def _close_abandoned(client: MlflowClient, marker: Path) -> bool:
    run = find_run(client, marker.name)
    if run is None:
        return False
    is_open = run.info.lifecycle_stage == "active" and run.info.status in OPEN
    # if MLflow outlived this process, it has closed the run without a reason
    unexplained = run.info.status == "FAILED" and "reason" not in run.data.tags
    if is_open or unexplained:
        describe_failure(client, run, ABANDONED)
    if is_open:
        terminate(client, marker.name, "FAILED")
    with suppress(OSError):  # if another user owns it, the next import finds the run closed
        marker.unlink()
    return is_open or unexplained
