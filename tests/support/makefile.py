"""The commands that a target of the Makefile would run, whether or not the tests themselves run under make."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTING = re.compile(r"^([A-Z]+) \?=", re.MULTILINE)
"""Variable of the Makefile that its caller, or the environment, may set."""


def recipe(*words: str) -> list[str]:
    """Returns the lines that `make WORDS` would run.

    The make that runs the tests hands its options and settings down in variables: with them, this one would also print
    which folder it enters and leaves, and add the ARGS of the tests.
    """
    settings = SETTING.findall((ROOT / "Makefile").read_text(encoding="utf-8"))
    inherited = (name for name in os.environ if not name.startswith(("MAKE", "MFLAGS")) and name not in settings)
    own = {name: os.environ[name] for name in inherited}
    command = ["make", "--no-print-directory", "--dry-run", *words]
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()
