"""Ctrl-C, SIGTERM and SIGHUP as errors of the family, and a way to defer them.

A signal raises `Interrupted` or `Terminated` in the main thread. While held, it waits until the hold ends: between the
start of a process and the assignment of its variable, an exception would leave an orphan. Only the first signal counts.
Later ones (a second Ctrl-C, the SIGTERM that MLflow sends after it) change nothing, because the exit that has begun
stops the worker, closes the run, and takes a bounded time.
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
    """The signal state of this process.

    `number` is the first signal, `holds` the depth of nested holds, `cause` the reason of a SIGTERM that this process
    sent itself.
    """

    stopped = False
    number = signal.SIGTERM
    holds = 0
    pending: Stopped | None = None
    cause: str | None = None


def name_of(number: int) -> str:
    """Returns a signal's name such as `SIGSEGV`, or `signal 40` for a real-time signal without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def install() -> None:
    """Handles the stopping signals from now on. An ignored signal (nohup) stays ignored."""
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)
    sys.unraisablehook = _unraised


def ignore() -> None:
    """Ignores the stopping signals from now on: the work is complete, and the exit must not be interrupted."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


def explain(cause: str) -> None:
    """Sets the message of a SIGTERM that this process is about to send itself."""
    _State.cause = cause


@contextmanager
def held() -> Iterator[None]:
    """Holds signals back. One that arrives meanwhile is raised when the outermost hold ends."""
    _State.holds += 1
    try:
        yield
    finally:
        _State.holds -= 1
        if not _State.holds:
            _raise_pending()


@contextmanager
def let_through() -> Iterator[None]:
    """Raises held signals at once inside `held`, for as long as this context lasts."""
    depth, _State.holds = _State.holds, 0
    try:
        _raise_pending()
        yield
    finally:
        _State.holds = depth


@contextmanager
def terminated_after(seconds: float, cause: str) -> Iterator[None]:
    """Sends this process SIGTERM, with the cause as its message, if the context lasts longer than this.

    The thread that waits sleeps until then, so it disturbs no measurement.
    """

    def terminate() -> None:
        explain(cause)
        os.kill(os.getpid(), signal.SIGTERM)

    timer = threading.Timer(seconds, terminate)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def wakeup() -> Iterator[int]:
    """Yields a descriptor that becomes readable when a signal arrives.

    A `select` on it also wakes for a signal that arrived just before, or in another thread.
    """
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
    """Sends a signal again whose error Python could only print, in a finaliser or during an import's clean-up."""
    if not isinstance(lost.exc_value, Stopped):
        sys.__unraisablehook__(lost)
        return
    _State.pending = lost.exc_value
    threading.Timer(AGAIN_S, os.kill, (os.getpid(), _State.number)).start()


def _error(number: int) -> Stopped:
    if number == signal.SIGINT:
        return Interrupted("stopped by Ctrl-C")
    return Terminated(_State.cause or f"stopped by {signal.Signals(number).name}")
