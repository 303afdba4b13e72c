"""Ctrl-C, SIGTERM and SIGHUP as errors of the family, from the first moment on, and a way to hold them back
for a moment.

A signal raises `Interrupted` or `Terminated` in the main thread. While held it waits until the hold ends:
between the start of a process and the variable that remembers it, an exception would leave an orphan. The first
signal decides; those after it (a second Ctrl-C, the SIGTERM with which MLflow follows up the first) change nothing,
for the way out that it began stops the worker and closes the run, and takes a bounded time.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from runner.errors import Interrupted, Stopped, Terminated

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_S = 0.05


class _State:
    """`number` is of the signal that decided, `holds` the depth of nested holds, `cause` explains a SIGTERM that this
    process sent itself."""

    stopped = False
    number = signal.SIGTERM
    holds = 0
    pending: Stopped | None = None
    cause: str | None = None


def name_of(number: int) -> str:
    """Returns `SIGSEGV` and the like; of a real-time signal, which has no name here, such as `signal 40`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def install() -> None:
    """Handle the stopping signals from now on. A signal that was ignored (nohup) stays ignored."""
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)
    sys.unraisablehook = _unraised


def ignore() -> None:
    """The work is done and closed: nothing may interrupt the exit any more."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


def explain(cause: str) -> None:
    """Say why a SIGTERM that is about to come was sent; it becomes the message."""
    _State.cause = cause


@contextmanager
def held() -> Iterator[None]:
    """Hold signals back; one that came meanwhile is raised when the outermost hold ends."""
    _State.holds += 1
    try:
        yield
    finally:
        _State.holds -= 1
        if not _State.holds:
            _raise_pending()


@contextmanager
def let_through() -> Iterator[None]:
    """Within `held`: raise at once what was held back, and what comes while this lasts."""
    depth, _State.holds = _State.holds, 0
    try:
        _raise_pending()
        yield
    finally:
        _State.holds = depth


@contextmanager
def wakeup() -> Iterator[int]:
    """A descriptor that becomes readable when a signal comes. Only a `select` that watches it cannot sleep
    through one that came just before it, or to another thread."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(previous)
        os.close(reader)
        os.close(writer)


def _raise_pending() -> None:
    if _State.pending is not None:
        error, _State.pending = _State.pending, None
        raise error


def _handle(number: int, _frame: FrameType | None) -> None:
    if not _State.stopped:
        _State.stopped, _State.number = True, signal.Signals(number)
        _State.pending = _error(number)
    if not _State.holds:
        _raise_pending()


def _unraised(lost: sys.UnraisableHookArgs) -> None:
    """Python only prints what is raised where nobody can catch it: in a finaliser, or while it tidies up an import. A
    signal that came just then is sent again."""
    if not isinstance(lost.exc_value, Stopped):
        sys.__unraisablehook__(lost)
        return
    _State.pending = lost.exc_value
    threading.Timer(AGAIN_S, os.kill, (os.getpid(), _State.number)).start()


def _error(number: int) -> Stopped:
    if number == signal.SIGINT:
        return Interrupted("stopped by Ctrl-C")
    return Terminated(_State.cause or f"stopped by {signal.Signals(number).name}")
