"""Who holds a lock on a file, as far as the kernel tells."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

LOCKS = Path("/proc/locks")


def of(*files: Path) -> str:
    """`process 17 (python3)`, several of them, or `another process` where the kernel does not tell."""
    found = dict.fromkeys(pid for file in files for pid in _pids(file))
    return ", ".join(f"process {pid} ({_name(pid)})" for pid in found) or "another process"


def _pids(file: Path) -> Iterator[int]:
    """Lines look like `1: FLOCK ADVISORY WRITE 17 fe:00:1234 0 EOF`; those that wait have an arrow."""
    with suppress(OSError):
        status = file.stat()
        place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        for line in LOCKS.read_text().splitlines():
            words = line.split()
            if "->" not in words and place in words and (pid := int(words[4])) not in (0, os.getpid()):
                yield pid


def _name(pid: int) -> str:
    """The program's name; a command line may hold a secret."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    return "ended"
