"""Programs that tests start: commands, scripts in a worker's place, and holders of locks."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SMALL_CACHE = os.pathsep.join((str(ROOT), str(ROOT / "tests" / "small_cache")))
"""PYTHONPATH of those that measure: with a bandwidth probe that is quick everywhere."""
Run = Callable[..., dict[str, Any]]
"""Runs a worker's script and returns its record."""
Main = Callable[..., tuple[int, str, str]]
"""Runs the command line in this process and returns (exit code, stdout, stderr)."""


@contextmanager
def holding(code: str) -> Iterator[int]:
    """Another program that holds something; its process id."""
    command = [sys.executable, "-c", f"{code}; print('held', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other.pid
        other.kill()


def worker(folder: Path, script: str) -> list[str]:
    """Writes a script in a worker's place and returns its command."""
    file = folder / "worker.py"
    file.write_text(textwrap.dedent(script))
    return [sys.executable, str(file)]


def environment(**changes: str) -> dict[str, str]:
    """Returns the variables of a command that measures."""
    return {**os.environ, "PYTHONPATH": SMALL_CACHE, **changes}


def runner(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, in `folder`."""
    command = [sys.executable, "-m", "runner", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(**variables), capture_output=True, text=True, timeout=120, check=False
    )


def run_module(*command: str | bytes, folder: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """`python -m …` in a process of its own, with its output as bytes."""
    own = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=own, capture_output=True, timeout=120, check=False
    )
