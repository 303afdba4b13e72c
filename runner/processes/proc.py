"""Processes as /proc shows them: who started whom, and an identity that no other process can have."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from runner.cell.cell import short_hash
from runner.machine import host

# fields of /proc/<pid>/stat after the command's name
STATE, PARENT, START_TIME = 0, 1, 19  # the last in ticks from boot to the process's start
ENDED = ("Z", "X")


@dataclass(frozen=True)
class Process:
    """What no other process can be taken for; `host` and `boot` are hashes, `pid` counts in `namespace`."""

    host: str
    boot: str
    namespace: str
    pid: int
    started: str


def ancestors(pid: int) -> Iterator[int]:
    """Parent, grandparent, … up to init, as far as /proc tells."""
    while (fields := _stat(pid)) and (pid := int(fields[PARENT])):
        yield pid


def this_process() -> Process:
    """The process that runs this line."""
    pid = os.getpid()
    return Process(_host(), _boot(), _namespace(), pid, _start_time(pid) or "")


def has_ended(process: Process) -> bool:
    """Is that process surely no more? False where this cannot be known from here."""
    if process.host != _host():
        return False
    if process.boot != _boot():
        return True
    return process.namespace == _namespace() and _start_time(process.pid) != process.started


def _stat(pid: int) -> list[str]:
    """Empty where there is no such process."""
    try:
        text = (host.PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    # the command's name stands in brackets and may itself hold blanks and brackets
    return text.rpartition(")")[2].split()


def _start_time(pid: int) -> str | None:
    """When the process began, None when there is none (a zombie has ended too)."""
    fields = _stat(pid)
    return fields[START_TIME] if fields and fields[STATE] not in ENDED else None


def _host() -> str:
    """Machine and host name together: containers of one image share the first, never the second."""
    return short_hash([host.machine_id(), socket.gethostname()], 16)


def _boot() -> str:
    try:
        return short_hash((host.PROC / "sys/kernel/random/boot_id").read_text().strip(), 16)
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return os.readlink(host.PROC / "self/ns/pid")
    except OSError:
        return ""
