"""`python -m runner`: signals first, then the command line; a failure is one line and an exit code."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runner import arguments as command_line
from runner import failures, terminal
from runner.errors import Failure
from runner.processes import signals
from runner.redaction import privatepaths

if TYPE_CHECKING:
    from runner.store import EntryRun


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code. Under `mlflow run` a failure also closes MLflow's run."""
    started_ms = int(time.time() * 1000)
    run = None
    signals.install()
    try:
        # a module that a signal cuts off in the middle of its import could not be used to close the run
        with signals.held():
            run = _entry_run(arguments)
        _command_line(arguments, started_ms, run)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        signals.ignore()
        code = _fail(failures.told(error), run, arguments)
    signals.ignore()
    return code


def _entry_run(arguments: Sequence[str]) -> EntryRun | None:
    """The run that MLflow made for this command, whose death is watched for; None where MLflow did not start us.

    It is marked in the spool before anything slow is imported: from then on an import finds it, should we be killed.
    """
    from runner import store
    from runner.processes import parentwatch

    run = store.entry_run()
    if run is not None:
        run.mark(command_line.spool(arguments))
        # MLflow's telemetry thread would wake up, and use the network, inside timed windows
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        parentwatch.watch_ancestors(lambda: signals.explain(parentwatch.DEATH_MESSAGE))
    return run


def _command_line(arguments: Sequence[str], started_ms: int, run: EntryRun | None) -> None:
    with signals.held():
        try:
            from runner import cli
        except ImportError as error:
            raise failures.lacks(str(error.name)) from error
    cli.run(arguments, cli.Start(started_ms, run))


def _fail(error: Failure, run: EntryRun | None, arguments: Sequence[str]) -> int:
    """The person at the terminal reads all of it; the run that others see gets no private path."""
    terminal.complain(error)
    if run is not None:
        run.fail(type(error)(privatepaths.without(str(error), command_line.private(arguments))))
    return error.exit_code


def console() -> int:
    """Runs the command line of this process; returns the exit code. The script `decode-floor` calls it."""
    with terminal.settled():
        return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(console())
