"""`python -m runner`: installs the signal handlers and runs the command line. A failure is a line and an exit code."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runner import arguments as command_line
from runner import failures, jsonoutput, terminal
from runner.errors import Failure
from runner.processes import signals
from runner.redaction import privatepaths

if TYPE_CHECKING:
    from runner.store import EntryRun


def main(arguments: Sequence[str]) -> int:
    """Runs the command line and returns the exit code. Under `mlflow run`, a failure also closes MLflow's run."""
    started_s = time.monotonic()
    run = None
    result: dict[str, Any] = {}
    signals.install()
    try:
        # closing the run needs these modules, so no signal may interrupt their import
        with signals.held():
            run = _entry_run(arguments)
        code = _command_line(arguments, started_s, run, result)
        if result:
            print(jsonoutput.text(result, None), flush=True)
    except BaseException as error:
        signals.ignore()
        code = _fail(failures.as_failure(error), run, arguments, result)
    signals.ignore()
    return code


def _entry_run(arguments: Sequence[str]) -> EntryRun | None:
    """Returns the run that MLflow created for this command; None if MLflow did not start this process.

    Marks the run in the spool before any slow import, so `import` can close it if this process is killed. Stops this
    process when MLflow's process ends.
    """
    from runner import store
    from runner.processes import parentwatch

    run = store.entry_run()
    if run is not None:
        run.mark(command_line.spool(arguments))
        # MLflow's telemetry thread would use CPU and network inside timed windows
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        parentwatch.watch_ancestors(lambda: signals.explain(parentwatch.DEATH_MESSAGE))
    return run


def _command_line(arguments: Sequence[str], started_s: float, run: EntryRun | None, result: dict[str, Any]) -> int:
    """Runs the command, which puts the fields of its JSON object into `result`."""
    with signals.held():
        try:
            from runner import cli
            from runner.commands.start import Start
        except ImportError as error:
            raise failures.missing_package(str(error.name)) from error
    return cli.run(arguments, Start(started_s, run, result))


def _fail(error: Failure, run: EntryRun | None, arguments: Sequence[str], result: Mapping[str, Any]) -> int:
    """Prints the failure, closes the run with it, and returns the exit code. The run's text has no private paths."""
    terminal.print_failure(error)
    if command_line.is_json(arguments):
        jsonoutput.print_error(error, result)
    if run is not None:
        run.fail(type(error)(privatepaths.without(str(error), command_line.private(arguments))))
    return error.exit_code


def console() -> int:
    """Runs the command line of this process and returns the exit code. The script `decode-floor` calls it."""
    with terminal.guarded_streams():
        return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(console())
