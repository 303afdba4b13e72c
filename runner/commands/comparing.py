"""Second step of `ab`: `analysis` compares the arms and logs ratio, interval and verdict in the A/B's run.

It is a program of its own, since `runner` does not import `analysis`, whose packages a machine that only measures may
lack.
"""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path

import click

from runner.errors import MissingPackage

ANALYSIS = "analysis"


def command(folder: Path) -> str:
    """Returns the command that prints the comparison of a folder's A/Bs."""
    return f"python -m {ANALYSIS} ab {shlex.quote(str(folder))}"


def log_comparison(folder: Path) -> None:
    """Prints the comparison of a folder's A/B and logs it in the A/B's run.

    Prints how to do so later if packages are missing here. Raises SystemExit with the code of the step if it fails.
    """
    later = f"compare the arms where the packages of {ANALYSIS} are: {command(folder)} --commit"
    if importlib.util.find_spec(ANALYSIS) is None:
        click.echo(later)
        return
    sys.stdout.flush()
    code = subprocess.run([sys.executable, "-m", ANALYSIS, "ab", str(folder), "--commit"], check=False).returncode
    if code == MissingPackage.exit_code:
        click.echo(later)
    elif code:
        click.echo(f"the sessions are complete; compare them again with: {command(folder)} --commit", err=True)
        raise SystemExit(code)
