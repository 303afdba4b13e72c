"""`python -m analysis floor|graphs|quant|budget|paper|report|ab|coverage`: tables, figures and a report from an MLflow
store or from records."""

from __future__ import annotations

import sys

from runner import failures, terminal
from runner.errors import MissingPackage, Stopped
from runner.processes import signals


def main() -> int:
    """Exit code 0, or that of the error, which is one line."""
    signals.install()
    try:
        _command_line()
    except (Exception, Stopped) as error:
        failure = failures.told(error)
        terminal.complain(failure)
        return failure.exit_code
    return 0


def _command_line() -> None:
    try:
        from analysis import cli
    except ImportError as error:
        raise MissingPackage(
            f"{sys.executable} lacks the package {error.name}: use the make targets, or activate the environment with "
            "`source .venv/bin/activate` (`make env` makes it)"
        ) from error
    cli.run()


if __name__ == "__main__":
    with terminal.settled():
        sys.exit(main())
