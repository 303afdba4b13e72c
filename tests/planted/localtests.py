"""The local tests of a module as a command, and how long they take where no bug is planted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

import pytest

MARKERS = "not slow and not images and not stores and not real and not gpu"
# A machine that is busy for a while, or a bug that makes the tests slower, is no endless loop.
TIMEOUT_S = 30
TIMEOUT_FACTOR = 4


def command(files: Iterable[str]) -> list[str]:
    """Returns the command that runs test files up to the first failure.

    hypothesis draws the same examples each time, and keeps none, if CI is set. torch's threads of several test runs
    would wait for each other's cores, so each run has one.
    """
    options = ["-x", "-q", "-p", "no:cacheprovider", "-m", MARKERS]
    return ["CI=true", "OMP_NUM_THREADS=1", sys.executable, "-m", "pytest", *options, *files]


def timeout_s(seconds: float) -> float:
    """Returns after how many seconds tests that took `seconds` without a bug are ended."""
    return TIMEOUT_S + TIMEOUT_FACTOR * seconds


class Baseline:
    """The seconds that each test file takes without a bug, measured once and stored in a JSON file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seconds: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def fast(self, files: Iterable[str]) -> list[str]:
        """Returns those of the files, which were all measured, that have a test to run."""
        return [name for name in files if self._seconds[name] > 0]

    def seconds(self, files: Iterable[str]) -> float:
        """Returns the seconds of several files, which were all measured."""
        return sum(self._seconds[name] for name in files)

    def measure(self, files: Iterable[str], trees: Iterable[Path]) -> None:
        """Runs the files that were not measured yet, one at a time in each tree. Exits if a test fails."""
        missing = [name for name in dict.fromkeys(files) if name not in self._seconds]
        for number, (name, seconds) in enumerate(_in_turns(missing, list(trees), passing_seconds), 1):
            self._seconds[name] = seconds
            self._file.write_text(json.dumps(self._seconds, indent=1) + "\n", encoding="utf-8")
            print(f"{number}/{len(missing)} passed in {seconds:.1f} s without a bug: {name}", flush=True)


def passing_seconds(name: str, tree: Path) -> float:
    """Returns how long a test file takes in a tree, or 0 if all its tests are left out.

    Exits if one fails, with the end of pytest's output.
    """
    started = time.monotonic()
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # as cosmic-ray runs them
    done = subprocess.run(
        ["env", *command([name])], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED:
        return 0.0
    if done.returncode != pytest.ExitCode.OK:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise SystemExit(f"{end}\n{name}: fails without a planted bug; correct that first")
    return time.monotonic() - started


def _in_turns(wanted: list[str], trees: list[Path], run: Callable[[str, Path], float]) -> Iterator[tuple[str, float]]:
    free: SimpleQueue[Path] = SimpleQueue()
    for tree in trees:
        free.put(tree)

    def once(name: str) -> float:
        tree = free.get()
        try:
            return run(name, tree)
        finally:
            free.put(tree)

    with ThreadPoolExecutor(len(trees)) as pool:
        futures = {pool.submit(once, name): name for name in wanted}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)
