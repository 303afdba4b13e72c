"""Ends this process with its parent: the worker with the command, and the entry point with `mlflow run`.

The parent may have ended before its child looks. So a parent passes its pid in the variable DECODE_FLOOR_PARENT_PID:
the command to its worker, and the entry point's shell (`$PPID`) to the entry.
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
    """Makes the kernel kill this process when its parent ends. Exits at once if the parent has already ended."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if _stated_parent() not in (None, os.getppid()):
        os._exit(128 + signal.SIGKILL)


def die_with_input() -> None:
    """Ends this process with its standard input, if DECODE_FLOOR_ENDS_WITH_INPUT is set.

    The parent holds the other end. A process in a container cannot see its parent otherwise.
    """
    if os.environ.get(INPUT_VARIABLE):
        threading.Thread(target=_await_end_of_input, daemon=True, name="inputwatch").start()


def _await_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(128 + signal.SIGKILL)


def starters() -> tuple[int, ...]:
    """Returns the pids of the ancestors through `shell -c` up to the first other process: under `mlflow run`, MLflow.

    MLflow runs an entry as `bash -c COMMAND` and does not pass its own end on. A shell without `-c` is a user's
    terminal, whose end (as with nohup) must not end this process.
    """
    pids = []
    for pid in proc.ancestors(os.getpid()):
        if pid == INIT:
            break
        is_shell, command = _is_shell(pid), _arguments(pid)
        if is_shell and "-c" not in command[1:2]:
            break
        pids.append(pid)
        if not is_shell:
            break
    return tuple(pids)


def watch_ancestors(on_death: Callable[[], None] | None = None) -> tuple[int, ...]:
    """Watches the starters in a sleeping thread. Returns the pids watched.

    When one ends, or has already ended, `on_death` is called and this process gets SIGTERM, so that the worker is
    stopped and the run closed as usual. Nothing is watched if the kernel has no pidfd (before Linux 5.3).
    """
    pids = starters()
    watched = {pid: descriptor for pid in pids if (descriptor := process_descriptor(pid)) is not None}
    if _is_orphan(pids):
        _handle_death(on_death)
    elif watched:
        arguments = (tuple(watched.values()), on_death)
        threading.Thread(target=_await_death, args=arguments, daemon=True, name="parentwatch").start()
    return tuple(watched)


def _is_orphan(pids: tuple[int, ...]) -> bool:
    """Returns whether a starter ended before it was watched or listed. Called when all are watched."""
    gone = _stated_parent() not in (None, INIT, *proc.ancestors(os.getpid()))
    return gone or starters() != pids


def _stated_parent() -> int | None:
    """Returns the pid that the parent passed, or None."""
    text = os.environ.get(PARENT_PID_VARIABLE, "")
    return int(text) if text.isdecimal() else None


def process_descriptor(pid: int) -> int | None:
    """Returns a descriptor that becomes readable when the process ends, or None if the kernel has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _await_death(descriptors: tuple[int, ...], on_death: Callable[[], None] | None) -> None:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll()
    _handle_death(on_death)


def _handle_death(on_death: Callable[[], None] | None) -> None:
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
