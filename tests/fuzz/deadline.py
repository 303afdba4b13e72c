"""Limits of a fuzzed call: its time, also in C code that does not return, and the memory of the process."""

from __future__ import annotations

import faulthandler
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

LONGEST_S = 20
LARGEST_BYTES = 8 << 30
"""Address space of the process. A thousandth of what an input of a few lines can stand for."""


@contextmanager
def in_time(seconds: float = LONGEST_S) -> Iterator[None]:
    """Fails the test if the block takes longer. Ends the process, with its stack, if it then takes as long again.

    The failure is no `Exception`, which the code under test could take for an error of its own. The end is for C code,
    which may never let Python handle a signal.
    """

    def ring(_number: int, _frame: FrameType | None) -> None:
        pytest.fail(f"still running after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    faulthandler.dump_traceback_later(2 * seconds, exit=True)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


@contextmanager
def in_memory() -> Iterator[None]:
    """Lets the block have no more than LARGEST_BYTES, beyond which it gets a MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (LARGEST_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
