"""Where the Pythons that tests start find the project, and another program that holds something."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SMALL_CACHE = os.pathsep.join((str(ROOT), str(ROOT / "tests" / "small_cache")))
"""PYTHONPATH of those that measure: with a bandwidth probe that is quick everywhere."""


@contextmanager
def holding(code: str) -> Iterator[int]:
    """Another program that holds something; its process id."""
    command = [sys.executable, "-c", f"{code}; print('held', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other.pid
        other.kill()
