"""Where a worker's process runs: what `launch` has to know of it, and the plain one, in this interpreter."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from runner.job import Job
from runner.processes.parentwatch import PARENT_PID_VARIABLE

PROJECT = Path(__file__).resolve().parents[2]
WORKER_COMMAND = (sys.executable, "-m", "runner.worker")


class Worker(Protocol):
    """How the worker's process is started, and what it takes to end it beside signals to its process group."""

    @property
    def takes_input(self) -> bool:
        """Whether it ends when its standard input does."""
        ...

    def command(self, job_file: Path) -> list[str]:
        """The argument list."""
        ...

    def environment(self) -> Mapping[str, str]:
        """Every variable that the process starts with."""
        ...

    def end(self) -> None:
        """End what signals to the process group do not reach. May be called again. Raises NoContainer where it cannot
        be known to have ended."""
        ...

    def outcome(self, code: int) -> tuple[int | None, str | None]:
        """The worker's own exit code (as in `subprocess`), given the process's, or what went wrong where the process
        ended for a reason of its own."""
        ...


@dataclass(frozen=True)
class LocalWorker:
    """A process of this host's, in this interpreter."""

    job: Job
    program: Sequence[str] = WORKER_COMMAND
    takes_input = False

    def command(self, job_file: Path) -> list[str]:
        return [*self.program, str(job_file)]

    def environment(self) -> Mapping[str, str]:
        paths = [str(PROJECT), os.environ.get("PYTHONPATH", "")]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            # without a buffer the last words of a process that is killed are not lost
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",
            # the pipe to us, whatever this terminal takes
            "PYTHONIOENCODING": "utf-8:backslashreplace",
            "CUDA_VISIBLE_DEVICES": self.job.device.uuid or "",
            # all files are here before the worker starts: it has no business on the network
            "HF_HUB_OFFLINE": "1",
            PARENT_PID_VARIABLE: str(os.getpid()),
        }

    def end(self) -> None:
        pass

    def outcome(self, code: int) -> tuple[int | None, str | None]:
        return code, None
