"""Neighbours of a worker: processes of its own that compute while it measures.

Each is in a session and process group of its own. The kernel kills it when the worker ends for any reason, and the
worker is killed in the same way when its command ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from runner.errors import WorkerFailed
from runner.hostcondition import busyloop
from runner.processes import proc
from runner.processes.parentwatch import PARENT_PID_VARIABLE

PROGRAM = (sys.executable, "-m", busyloop.__name__)
AGAIN = "run the command again"


class Neighbours:
    """Neighbours that compute, and their use of the processors since they began."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        self._processes = processes
        self._began_s, self._used_s = time.monotonic(), self._cpu_seconds()

    def check(self) -> None:
        """Raises WorkerFailed if one has ended: the session was then not under its condition all the time."""
        if ended := [process for process in self._processes if process.poll() is not None]:
            raise WorkerFailed(f"{len(ended)} of {len(self._processes)} busy neighbours ended early: {AGAIN}")

    def cores(self) -> float | None:
        """Returns the processors that they used together on average; None if the host does not report it."""
        used_s = self._cpu_seconds()
        if used_s is None or self._used_s is None:
            return None
        return round((used_s - self._used_s) / (time.monotonic() - self._began_s), 2)

    def _cpu_seconds(self) -> float | None:
        seconds = [proc.cpu_seconds(process.pid) for process in self._processes]
        known = [each for each in seconds if each is not None]
        return sum(known) if len(known) == len(seconds) else None


@contextmanager
def running(count: int) -> Iterator[Neighbours]:
    """Runs this many neighbours, all of which compute when the context begins, and have ended when it does."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            processes.append(_started())
        for process in processes:
            _await_start(process)
        yield Neighbours(processes)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        PROGRAM,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, PARENT_PID_VARIABLE: str(os.getpid())},
        start_new_session=True,
    )


def _await_start(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    with process.stdout as pipe:
        if pipe.read(len(busyloop.READY)) != busyloop.READY:
            raise WorkerFailed(f"a busy neighbour ended before it computed: {AGAIN}")
