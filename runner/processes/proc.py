"""Processes in /proc: their ancestors, and a unique identity."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from runner.cell.cell import short_hash
from runner.machine import host

# fields of /proc/<pid>/stat after the command
STATE, PARENT, START_TIME = 0, 1, 19  # START_TIME is in ticks since boot
ENDED = ("Z", "X")


@dataclass(frozen=True)
class Process:
    """A unique identity of a process. `host` and `boot` are hashes; `pid` is valid in `namespace`."""

    host: str
    boot: str
    namespace: str
    pid: int
    started: str


def ancestors(pid: int) -> Iterator[int]:
    """Yields parent, grandparent and so on up to init, as far as /proc shows them."""
    while (fields := _stat(pid)) and (pid := int(fields[PARENT])):
        yield pid


def this_process() -> Process:
    """Returns the identity of this process."""
    pid = os.getpid()
    return Process(_host(), _boot(), _namespace(), pid, _start_time(pid) or "")


def has_ended(process: Process) -> bool:
    """Returns whether the process has certainly ended; False if that is unknown here."""
    if process.host != _host():
        return False
    if process.boot != _boot():
        return True
    return process.namespace == _namespace() and _start_time(process.pid) != process.started


def program(pid: int) -> str:
    """Returns the name of the process's program, not its command line, which may contain a secret."""
    try:
        return (host.PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return "ended"


def _stat(pid: int) -> list[str]:
    """Returns the fields after the command, or [] if there is no such process."""
    try:
        text = (host.PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    # the command is in brackets and may itself contain spaces and brackets
    return text.rpartition(")")[2].split()


def _start_time(pid: int) -> str | None:
    """Returns the process's start time, or None if there is no such process or it is a zombie."""
    fields = _stat(pid)
    return fields[START_TIME] if fields and fields[STATE] not in ENDED else None


def _host() -> str:
    """Returns a hash of machine id and host name. Containers of one image share the first, but not the second."""
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
