"""Nothing is left behind: the worker dies with its parent; the entry notices the death of `mlflow run`."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

PARENT_PID_VARIABLE = "DECODE_FLOOR_PARENT_PID"
PR_SET_PDEATHSIG = 1
SHELLS = ("bash", "sh", "dash")
DEATH_MESSAGE = "the process that started us died"


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies; exits at once when that has already happened.

    The parent says who it is in DECODE_FLOOR_PARENT_PID: between its fork and this call it may have died, and
    its death would then send no signal.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    expected = os.environ.get(PARENT_PID_VARIABLE)
    if expected is not None and os.getppid() != int(expected):
        os._exit(128 + signal.SIGKILL)


def starters() -> tuple[int, ...]:
    """Pids of our ancestors through `shell -c` up to the first that is none: under `mlflow run`, MLflow
    itself.

    MLflow runs an entry as `bash -c COMMAND` and does not pass its own death on. A shell without `-c` is
    somebody's terminal, whose end (think of nohup) is not ours.
    """
    found = []
    for pid in _ancestors(os.getpid()):
        shell, command = _is_shell(pid), _arguments(pid)
        if shell and "-c" not in command[1:2]:
            break
        found.append(pid)
        if not shell:
            break
    return tuple(found)


def watch_ancestors(on_death: Callable[[], None] | None = None) -> tuple[int, ...]:
    """Watch those who started us from a thread that sleeps in the kernel; returns the pids watched.

    When one dies, `on_death` is called and this process gets SIGTERM, so that the ordinary path stops the
    worker and closes the run. Where the kernel has no pidfd (before Linux 5.3) nothing is watched.
    """
    watched = {pid: descriptor for pid in starters() if (descriptor := process_descriptor(pid)) is not None}
    if watched:
        arguments = (tuple(watched.values()), on_death)
        threading.Thread(target=_await_death, args=arguments, daemon=True, name="parentwatch").start()
    return tuple(watched)


def process_descriptor(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where the kernel has none to give."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _await_death(descriptors: tuple[int, ...], on_death: Callable[[], None] | None) -> None:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll()
    if on_death is not None:
        on_death()
    os.kill(os.getpid(), signal.SIGTERM)


def _ancestors(pid: int) -> Iterator[int]:
    """Parent, grandparent, ... without init."""
    while (pid := _parent(pid)) > 1:
        yield pid


def _parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    # the command's name stands in parentheses and may itself hold spaces and parentheses
    return int(stat.rpartition(")")[2].split()[1])


def _is_shell(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() in SHELLS
    except OSError:
        return False


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (OSError, UnicodeDecodeError):
        return []
