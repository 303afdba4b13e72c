"""Processes in /proc: their ancestors, a unique identity, and whether the process with an identity lives."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from runner.cell.cell import short_hash
from runner.files import jsontext
from runner.machine import host

# fields of /proc/<pid>/stat after the command
STATE, PARENT, USER_TIME, SYSTEM_TIME, START_TIME = 0, 1, 11, 12, 19  # times are in ticks, START_TIME since boot
LARGEST_PID = 2**31
ENDED_STATES = ("Z", "X")
LIVES, ENDED, UNKNOWN = "lives", "ended", "unknown"
"""States of a process: UNKNOWN if it is of another host, or cannot be seen from here."""


@dataclass(frozen=True)
class Process:
    """A unique identity of a process. `host` and `boot` are hashes; `pid` is valid in `namespace`."""

    host: str
    boot: str
    namespace: str
    pid: int
    started: str

    @property
    def text(self) -> str:
        """Returns the identity as JSON."""
        return json.dumps(asdict(self))


def ancestors(pid: int) -> Iterator[int]:
    """Yields parent, grandparent and so on up to init, as far as /proc shows them."""
    while (fields := _stat(pid)) and (pid := int(fields[PARENT])):
        yield pid


def this_process() -> Process:
    """Returns the identity of this process."""
    pid = os.getpid()
    return Process(_host(), _boot(), _namespace(), pid, _start_time(pid) or "")


def parsed(text: str) -> Process | None:
    """Returns the process of an identity's JSON, which anybody may have written; None if it is not one."""
    try:
        process = Process(**jsontext.loads(text))
    except (ValueError, TypeError):
        return None
    words = (process.host, process.boot, process.namespace, process.started)
    is_one = type(process.pid) is int and 0 < process.pid < LARGEST_PID and all(isinstance(word, str) for word in words)
    return process if is_one else None


def state(process: Process) -> str:
    """Returns LIVES or ENDED if that is certain, otherwise UNKNOWN.

    A pid that another process has got since is told by its start time. Without an installation's id, another host with
    this host's name cannot be told from this host before a reboot.
    """
    if process.host != _host() or not (process.namespace and process.started and _namespace()):
        return UNKNOWN
    if process.boot != _boot():
        return ENDED if host.installation_id() else UNKNOWN
    if process.namespace != _namespace():
        return LIVES if _is_in_inner_namespace(process) else UNKNOWN
    started = _start_time(process.pid)
    if started is None and _is_hidden(process.pid):
        return UNKNOWN
    return LIVES if started == process.started else ENDED


def _is_in_inner_namespace(process: Process) -> bool:
    """Returns whether a process that is seen here has this pid in a pid namespace inside ours, as in a container."""
    pids = (int(name) for name in os.listdir(host.PROC) if name.isdecimal())
    return any(_inner_pid(pid) == process.pid and _start_time(pid) == process.started for pid in pids)


def _inner_pid(pid: int) -> int | None:
    """Returns the process's pid in its own namespace; None if that is ours."""
    try:
        lines = (host.PROC / str(pid) / "status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    pids = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), [])
    return int(pids[-1]) if len(pids) > 1 else None


def _is_hidden(pid: int) -> bool:
    """Returns whether there is such a process though /proc does not show it, as for other users with `hidepid`."""
    if _stat(pid):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def program(pid: int) -> str:
    """Returns the name of the process's program, not its command line, which may contain a secret."""
    try:
        return (host.PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return "ended"


def cpu_seconds(pid: int) -> float | None:
    """Returns the seconds of processor time that the process has used; None if there is no such process."""
    fields = _stat(pid)
    ticks = int(fields[USER_TIME]) + int(fields[SYSTEM_TIME]) if fields else None
    return None if ticks is None else ticks / os.sysconf("SC_CLK_TCK")


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
    return fields[START_TIME] if fields and fields[STATE] not in ENDED_STATES else None


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
