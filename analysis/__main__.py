"""`python -m analysis COMMAND`: tables, figures and a report from an MLflow store or from records.

Each table has a command; `--help` lists them.
"""

from __future__ import annotations

import sys

from runner import failures, terminal
from runner.errors import Stopped
from runner.processes import signals


def main() -> int:
    """Runs the command line. Returns 0, or the exit code of an error after printing it in one line."""
    signals.install()
    try:
        _command_line()
    except (Exception, Stopped) as error:
        failure = failures.as_failure(error)
        terminal.print_failure(failure)
        return failure.exit_code
    return 0


def _command_line() -> None:
    try:
        from analysis import cli
    except ImportError as error:
        raise failures.missing_package(str(error.name)) from error
    cli.run()


def console() -> int:
    """Runs the command line of this process and returns its exit code. The script `decode-floor-analysis` calls it."""
    with terminal.guarded_streams():
        return main()


if __name__ == "__main__":
    sys.exit(console())
