"""Entry process of `mlflow run` and the run that MLflow made for it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from runner import terminal
from runner.errors import DecodeFloorError, Failure, Stopped
from runner.processes import signals
from runner.record import open_runs
from runner.redaction.redact import redact
from runner.store import connection, experiment, owner
from runner.store.commit import log_tags, terminate
from runner.store.failed_run import describe_failure
from runner.store.made_run import mlflow_run
from runner.store.session_run import TAG_LENGTH

RUN_VARIABLE = "MLFLOW_RUN_ID"


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

    def claim(self) -> None:
        """Makes this process the owner of the run, so that any import closes the run if this process is killed.

        Raises StoreUnreachable, DiskFull, MissingPackage.
        """
        # `mlflow run` has just imported MLflow on this host, too
        with connection.opened() as client:
            if (run := mlflow_run(client, self.id)) is not None:
                owner.claim(client, run)

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
