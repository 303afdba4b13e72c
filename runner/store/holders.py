"""Processes that hold a lock on a file, from the kernel's list of locks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from runner.processes import proc

LOCKS = Path("/proc/locks")


def lock_holders(*files: Path) -> str:
    """Returns the holders' names, such as `process 17 (python3)`, or `another process` if the kernel lists none."""
    pids = dict.fromkeys(pid for file in files for pid in _pids(file))
    return ", ".join(f"process {pid} ({proc.program(pid)})" for pid in pids) or "another process"


def _pids(file: Path) -> Iterator[int]:
    """Yields the process ids from lines such as `1: FLOCK ADVISORY WRITE 17 fe:00:1234 0 EOF`.

    Lines of processes that wait have an arrow.
    """
    with suppress(OSError):
        status = file.stat()
        place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        for line in LOCKS.read_text().splitlines():
            words = line.split()
            if "->" not in words and place in words and (pid := int(words[4])) not in (0, os.getpid()):
                yield pid
