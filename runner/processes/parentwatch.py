"""Nothing is left behind: the worker dies with its parent; the entry notices the death of `mlflow run`.

Who starts a process may be gone before that process looks. So it says who it is beforehand, in the variable
DECODE_FLOOR_PARENT_PID: the parent to its worker, and the shell of the entry point (`$PPID`) to the entry.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from runner.processes import proc

PARENT_PID_VARIABLE = "DECODE_FLOOR_PARENT_PID"
INPUT_VARIABLE = "DECODE_FLOOR_ENDS_WITH_INPUT"
PR_SET_PDEATHSIG = 1
SHELLS = ("bash", "sh", "dash")
DEATH_MESSAGE = "the process that started us died"
INIT = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies; exits at once when that has already happened."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if _expected() not in (None, os.getppid()):
        os._exit(128 + signal.SIGKILL)


def die_with_input() -> None:
    """Where DECODE_FLOOR_ENDS_WITH_INPUT is set, end this process when its standard input does, whose other end the
    parent holds: in a container it cannot see that process."""
    if os.environ.get(INPUT_VARIABLE):
        threading.Thread(target=_await_end_of_input, daemon=True, name="inputwatch").start()


def _await_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(128 + signal.SIGKILL)


def starters() -> tuple[int, ...]:
    """Pids of our ancestors through `shell -c` up to the first that is none: under `mlflow run`, MLflow
    itself.

    MLflow runs an entry as `bash -c COMMAND` and does not pass its own death on. A shell without `-c` is
    somebody's terminal, whose end (think of nohup) is not ours.
    """
    found = []
    for pid in proc.ancestors(os.getpid()):
        if pid == INIT:
            break
        shell, command = _is_shell(pid), _arguments(pid)
        if shell and "-c" not in command[1:2]:
            break
        found.append(pid)
        if not shell:
            break
    return tuple(found)


def watch_ancestors(on_death: Callable[[], None] | None = None) -> tuple[int, ...]:
    """Watch those who started us from a thread that sleeps in the kernel; returns the pids watched.

    When one dies, or is dead already, `on_death` is called and this process gets SIGTERM, so that the ordinary path
    stops the worker and closes the run. Where the kernel has no pidfd (before Linux 5.3) nothing is watched.
    """
    pids = starters()
    watched = {pid: descriptor for pid in pids if (descriptor := process_descriptor(pid)) is not None}
    if _is_orphan(pids):
        _tell_death(on_death)
    elif watched:
        arguments = (tuple(watched.values()), on_death)
        threading.Thread(target=_await_death, args=arguments, daemon=True, name="parentwatch").start()
    return tuple(watched)


def _is_orphan(pids: tuple[int, ...]) -> bool:
    """Has one of them died before it was watched, or before it was seen at all? Asked when all are watched."""
    gone = _expected() not in (None, INIT, *proc.ancestors(os.getpid()))
    return gone or starters() != pids


def _expected() -> int | None:
    """Who started us, by their own account."""
    text = os.environ.get(PARENT_PID_VARIABLE, "")
    return int(text) if text.isdecimal() else None


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
    _tell_death(on_death)


def _tell_death(on_death: Callable[[], None] | None) -> None:
    if on_death is not None:
        on_death()
    os.kill(os.getpid(), signal.SIGTERM)


def _is_shell(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip() in SHELLS
    except OSError:
        return False


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []
