"""`python3 -m runner.doctor`: the doctor without Click, on the standard library of Python 3.9 or later."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys

from runner import __version__, failures, terminal
from runner.doctor import examination
from runner.files import shipped

VENV = shipped.PACKAGES / ".venv"


def main() -> int:
    """Prints the report and returns its exit code."""
    parser = argparse.ArgumentParser("python3 -m runner.doctor", description="Examines whether a cell can be measured.")
    parser.add_argument("--gpu", default="auto", help="a GPU of the catalogue, such as l4, or cpu (default: auto)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--version", action="version", version=f"decode-floor {__version__}")
    options = parser.parse_args()
    _continue_in_venv()
    try:
        report = examination.examine(options.gpu)
        print(report.text(options.json), flush=True)
    except BaseException as error:
        failure = failures.as_failure(error)
        terminal.print_failure(failure)
        return failure.exit_code
    return report.exit_code


def _continue_in_venv() -> None:
    """Starts this command again in a .venv that is ready, if this interpreter lacks its packages."""
    program = VENV / "bin" / "python"
    is_inside = os.path.realpath(sys.prefix) == os.path.realpath(VENV)
    if is_inside or importlib.util.find_spec("yaml") is not None or not (VENV / ".ready").is_file():
        return
    try:
        os.execv(program, [str(program), "-m", "runner.doctor", *sys.argv[1:]])
    except OSError:  # the Python that it was made with is gone: `make env` makes it again
        return


if __name__ == "__main__":
    with terminal.guarded_streams():
        sys.exit(main())
