"""A condition of the host in the worker: all threads are pinned, and what was observed is the condition."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from runner.hostcondition.applying import cores_of_threads
from tests.support.processes import ROOT

pytestmark = pytest.mark.medium

PINNED = """
import os, threading
from runner.hostcondition.applying import applied
from runner.hostcondition.condition import HostCondition
go, seen = threading.Event(), []
def work():
    go.wait()
    seen.append(len(os.sched_getaffinity(0)))
early = threading.Thread(target=work, daemon=True)
early.start()
allowed = len(os.sched_getaffinity(0))
with applied(HostCondition("pinned", 1)) as observe:
    late = threading.Thread(target=work)
    late.start()
    go.set()
    early.join(), late.join()
    found = observe()
    assert (found.declared, found.cores, found.allowed_cores) == ("pinned:1", 1, allowed), found
    assert (found.neighbours, found.neighbour_cores) == (0, None)
    {more}
assert seen == [1, 1], seen
"""
UNPINNED = "os.sched_setaffinity(0, range(os.cpu_count())); observe()"


def run(script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_threads_are_pinned_whether_they_began_before_or_after() -> None:
    done = run(PINNED.format(more=""))
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_a_thread_that_left_its_processor_is_an_error() -> None:
    done = run(PINNED.format(more=UNPINNED))
    assert "host_condition=pinned:1, but the worker's threads ran on" in done.stderr


BUSY = """
from runner.hostcondition.applying import applied
from runner.hostcondition.condition import HostCondition
with applied(HostCondition("busy", 2)) as observe:
    found = observe()
    assert (found.declared, found.neighbours, found.cores) == ("busy:2", 2, found.allowed_cores), found
    assert found.neighbour_cores is not None
"""


def test_neighbours_run_and_the_worker_is_not_pinned() -> None:
    done = run(BUSY)
    assert done.returncode == 0, done.stderr


def test_a_condition_that_this_machine_cannot_have_is_refused() -> None:
    done = run(PINNED.replace('"pinned", 1', '"pinned", 250').format(more=""))
    assert "host_condition=pinned:250 needs 250 processors" in done.stderr


def test_the_processors_of_all_threads_count() -> None:
    assert cores_of_threads() >= len(os.sched_getaffinity(0))
