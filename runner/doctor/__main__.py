"""`python3 -m runner.doctor`: the doctor without Click, on the standard library of Python 3.9 or later."""

from __future__ import annotations

import argparse
import os
import sys
from typing import NoReturn

from runner import __version__, failures, jsonoutput, terminal
from runner.doctor import examination, interpreter
from runner.errors import Stopped, Usage
from runner.files import shipped

VENV = shipped.PACKAGES / ".venv"


class Parser(argparse.ArgumentParser):
    """A parser whose errors look like those of the other commands."""

    def error(self, message: str) -> NoReturn:
        """Raises Usage."""
        raise Usage(f"{message} (see `{self.prog} --help`)")


def main() -> int:
    """Prints the report and returns its exit code."""
    try:
        options = _parser().parse_args()
        _continue_in_venv()
        report = examination.examine(options.gpu)
        print(report.text(options.json), flush=True)
    except (Exception, Stopped, KeyboardInterrupt) as error:
        failure = failures.as_failure(error)
        terminal.print_failure(failure)
        if "--json" in sys.argv[1:]:
            jsonoutput.print_error(failure, {})
        return failure.exit_code
    return report.exit_code


def _parser() -> Parser:
    # an abbreviated option would be accepted here and refused by `python -m runner doctor`
    parser = Parser(
        "python3 -m runner.doctor", description="Examines whether a cell can be measured.", allow_abbrev=False
    )
    parser.add_argument("--gpu", default="auto", help="a GPU of the catalogue, such as l4, or cpu (default: auto)")
    parser.add_argument("--json", action="store_true", help="print one JSON object (docs/json.md) and nothing else")
    parser.add_argument("--version", action="version", version=f"decode-floor, version {__version__}")
    return parser


def _continue_in_venv() -> None:
    """Starts this command again in a .venv that is ready, if this interpreter lacks its packages."""
    program = VENV / "bin" / "python"
    is_inside = os.path.realpath(sys.prefix) == os.path.realpath(VENV)
    if is_inside or interpreter.is_environment() or not (VENV / ".ready").is_file():
        return
    try:
        os.execv(program, [str(program), "-m", "runner.doctor", *sys.argv[1:]])
    except OSError:  # the Python that it was made with is gone: `make env` makes it again
        return


if __name__ == "__main__":
    with terminal.guarded_streams():
        sys.exit(main())
