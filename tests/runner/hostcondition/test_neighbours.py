"""Neighbours of a worker: they compute, and end with it however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from runner.errors import WorkerFailed
from runner.hostcondition import neighbours
from tests.support.livingprocesses import children, have_ended, lives
from tests.support.processes import ROOT

pytestmark = pytest.mark.medium


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def ours() -> Callable[[], list[int]]:
    """Returns a function that gives the children started since; other tests may have left some, such as compilers."""
    before = {*children(os.getpid())}
    return lambda: [pid for pid in children(os.getpid()) if pid not in before]


def test_they_compute_in_groups_of_their_own_and_end_with_the_context(ours: Callable[[], list[int]]) -> None:
    with neighbours.running(2) as beside:
        pids = ours()
        assert len(pids) == 2
        assert all(os.getpgid(pid) == pid != os.getpgrp() for pid in pids)
        assert all(os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) for pid in pids)
        time.sleep(0.5)
        beside.check()
        cores = beside.cores()
        assert cores is not None
        assert 0 < cores <= 2.1
    assert ours() == []
    assert beside.cores() is None


def test_without_any_nothing_is_started(ours: Callable[[], list[int]]) -> None:
    with neighbours.running(0) as beside:
        assert (ours(), beside.cores()) == ([], 0)


def test_one_that_ended_early_is_an_error(ours: Callable[[], list[int]]) -> None:
    with neighbours.running(2) as beside:
        os.kill(ours()[0], signal.SIGKILL)
        time.sleep(0.2)
        with pytest.raises(WorkerFailed, match="1 of 2 busy neighbours ended early"):
            beside.check()


def test_one_that_cannot_start_is_an_error_and_the_others_end(
    monkeypatch: pytest.MonkeyPatch, ours: Callable[[], list[int]]
) -> None:
    monkeypatch.setattr(neighbours, "PROGRAM", (sys.executable, "-c", ""))
    with pytest.raises(WorkerFailed, match="a busy neighbour ended before it computed"), neighbours.running(3):
        pass
    assert ours() == []


HOLDER = """
import time
from runner.hostcondition import neighbours
with neighbours.running(2):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_they_end_with_a_worker_that_is_killed(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        pids = children(holder.pid)
        assert len(pids) == 2
        assert all(map(lives, pids))
        holder.send_signal(number)
        assert have_ended(pids)
