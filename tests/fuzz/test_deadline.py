"""A fuzzed call that hangs or fills the memory is noticed, whatever it catches and wherever it hangs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time

import pytest

from tests.fuzz import deadline
from tests.support.processes import ROOT


def test_a_hang_is_a_failure_that_no_handler_of_errors_takes_for_its_own() -> None:
    def hang() -> None:
        while time.monotonic() < started + 5:
            with contextlib.suppress(Exception):
                time.sleep(1)

    started = time.monotonic()
    with pytest.raises(pytest.fail.Exception, match=r"still running after 0\.1 s"), deadline.in_time(0.1):
        hang()
    assert time.monotonic() < started + 4


def test_a_call_in_time_leaves_no_alarm() -> None:
    with deadline.in_time(0.05):
        pass
    time.sleep(0.15)


@pytest.mark.medium
def test_a_call_that_lets_no_signal_through_ends_the_process() -> None:
    """C code may run on without a look at Python's signals; here they are blocked."""
    code = """
import signal, time
from tests.fuzz import deadline
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
with deadline.in_time(0.2):
    time.sleep(5)
print("went on")
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Timeout (0:00:00.400000)!")


@pytest.mark.medium
def test_a_bomb_is_a_memory_error() -> None:
    code = """
from tests.fuzz import deadline
with deadline.in_memory():
    bytearray(deadline.LARGEST_BYTES)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr.endswith("MemoryError\n")
