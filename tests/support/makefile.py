"""The commands that a target of the Makefile would run, whether or not the tests themselves run under make."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def recipe(*words: str) -> list[str]:
    """Returns the lines that `make WORDS` would run.

    The make that runs the tests hands its own options down in variables MAKE…: with them a make of its own would also
    print which folder it enters and leaves.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--no-print-directory", "--dry-run", *words]
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()
