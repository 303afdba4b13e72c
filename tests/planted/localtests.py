"""The local tests of a module as a command, and how long they take where no bug is planted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

MARKERS = "not slow and not images and not stores and not real and not gpu"
# A machine that is busy for a while, or a bug that makes the tests slower, is no endless loop.
TIMEOUT_S = 30
TIMEOUT_FACTOR = 4


def command(files: Iterable[str]) -> list[str]:
    """Returns the command that runs test files up to the first failure.

    hypothesis draws the same examples each time, and keeps none, where CI is set.
    """
    options = ["-x", "-q", "-p", "no:cacheprovider", "-m", MARKERS]
    return ["CI=true", sys.executable, "-m", "pytest", *options, *files]


def timeout_s(seconds: float) -> float:
    """Returns after how many seconds tests that took `seconds` without a bug are ended."""
    return TIMEOUT_S + TIMEOUT_FACTOR * seconds


class Baseline:
    """The seconds that test files take without a bug, measured once each and stored in a JSON file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seconds: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def seconds(self, files: tuple[str, ...]) -> float:
        """Returns the seconds of one module's tests, which were measured before."""
        return self._seconds[" ".join(files)]

    def measure(self, wanted: Iterable[tuple[str, ...]], trees: Iterable[Path]) -> None:
        """Runs what was not measured yet, one at a time in each tree. Exits where tests fail without a bug."""
        missing = [files for files in dict.fromkeys(wanted) if " ".join(files) not in self._seconds]
        for files, seconds in _in_turns(missing, list(trees), passing_seconds):
            self._seconds[" ".join(files)] = seconds
            self._file.write_text(json.dumps(self._seconds, indent=1) + "\n", encoding="utf-8")
            print(f"{seconds:.1f} s without a bug: {' '.join(files)}", flush=True)


def passing_seconds(files: tuple[str, ...], tree: Path) -> float:
    """Returns how long test files take in a tree. Exits where they fail, with the end of what pytest prints."""
    started = time.monotonic()
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # as cosmic-ray runs them
    done = subprocess.run(
        ["env", *command(files)], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise SystemExit(f"{end}\n{' '.join(files)}: fails without a planted bug; correct that first")
    return time.monotonic() - started


def _in_turns(
    wanted: list[tuple[str, ...]], trees: list[Path], run: Callable[[tuple[str, ...], Path], float]
) -> Iterator[tuple[tuple[str, ...], float]]:
    free: SimpleQueue[Path] = SimpleQueue()
    for tree in trees:
        free.put(tree)

    def once(files: tuple[str, ...]) -> float:
        tree = free.get()
        try:
            return run(files, tree)
        finally:
            free.put(tree)

    with ThreadPoolExecutor(len(trees)) as pool:
        yield from zip(wanted, pool.map(once, wanted), strict=True)
