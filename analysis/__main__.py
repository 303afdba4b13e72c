"""`python -m analysis COMMAND`: tables, figures and a report from an MLflow store or from records.

Each table has a command; `--help` lists them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from runner import failures, terminal
from runner.errors import Stopped
from runner.processes import signals


def main(arguments: Sequence[str]) -> int:
    """Runs the command line and returns its exit code. An error is printed in one line."""
    signals.install()
    try:
        return _command_line(arguments)
    except (Exception, Stopped) as error:
        failure = failures.as_failure(error)
        terminal.print_failure(failure)
        return failure.exit_code


def _command_line(arguments: Sequence[str]) -> int:
    try:
        from analysis import cli
    except ImportError as error:
        raise failures.missing_package(str(error.name)) from error
    return cli.run(arguments)


def console() -> int:
    """Runs the command line of this process and returns its exit code. The script `decode-floor-analysis` calls it."""
    with terminal.guarded_streams():
        return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(console())
