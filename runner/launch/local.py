"""The protocol of a worker's process that `launch` uses, and a process of this interpreter."""

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
    """A way to start a worker's process, and to end what signals to its process group do not reach."""

    @property
    def takes_input(self) -> bool:
        """Returns whether the worker ends when its standard input is closed."""
        ...

    def command(self, job_file: Path) -> list[str]:
        """Returns the argument list."""
        ...

    def environment(self) -> Mapping[str, str]:
        """Returns all variables that the process starts with."""
        ...

    def end(self) -> None:
        """Ends what signals to the process group do not reach. May be called again.

        Raises NoContainer if it may still be running.
        """
        ...

    def outcome(self, code: int) -> tuple[int | None, str | None]:
        """Returns the worker's exit code (as in `subprocess`), or the reason that no worker ended with one.

        `code` is the exit code of the process that was started.
        """
        ...


@dataclass(frozen=True)
class LocalWorker:
    """A process of this host, in this interpreter."""

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
            # unbuffered, so that the last lines of a killed process are not lost
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",
            # the encoding of our pipe, not of the terminal
            "PYTHONIOENCODING": "utf-8:backslashreplace",
            "CUDA_VISIBLE_DEVICES": self.job.device.uuid or "",
            # all files are local before the worker starts: it needs no network
            "HF_HUB_OFFLINE": "1",
            PARENT_PID_VARIABLE: str(os.getpid()),
        }

    def end(self) -> None:
        pass

    def outcome(self, code: int) -> tuple[int | None, str | None]:
        return code, None
