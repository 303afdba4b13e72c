"""Sessions of the command line under each condition of the host: really so, recorded, and over when they are over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runner.errors import BadPair, BadValue, WorkerFailed
from runner.machine import hostlock
from runner.record.verify import recompute
from tests.support.livingprocesses import children, have_ended
from tests.support.processes import environment, runner

pytestmark = pytest.mark.slow
CORES = len(os.sched_getaffinity(0))
CELL = ("cell", "--gpu", "cpu", "--model", "tiny", "--ctx", "64", "--cache", "static", "--spool", "spool")


def record_of(folder: Path) -> dict[str, Any]:
    (path,) = (folder / "spool").glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    assert recompute.differences(found) == []
    return found


def test_a_pinned_session_runs_on_one_processor(tmp_path: Path) -> None:
    done = runner(tmp_path, *CELL, "--host-condition", "pinned:1")
    assert done.returncode == 0, done.stderr
    found = record_of(tmp_path)
    assert found["host_condition"] == {
        "declared": "pinned:1", "allowed_cores": CORES, "cores": 1, "neighbours": 0, "neighbour_cores": None
    }  # fmt: skip
    assert (found["host"]["cores"], found["environment"]["threads"]) == (1, 1)
    assert "host-condition" in found["flags"]
    assert "host-condition" in done.stdout


@pytest.mark.whole
def test_neighbours_take_processors_in_the_timed_windows(tmp_path: Path) -> None:
    done = runner(tmp_path, *CELL, "--host-condition", "busy:2")
    assert done.returncode == 0, done.stderr
    found = record_of(tmp_path)
    condition = found["host_condition"]
    assert (condition["declared"], condition["neighbours"], condition["cores"]) == ("busy:2", 2, CORES)
    assert condition["neighbour_cores"] > 0.2
    assert found["passes"]["wall"]["other_cpu_cores"] > 0.2
    assert {"host-condition", "host-busy"} <= {*found["flags"]}


@pytest.mark.whole
def test_a_session_on_the_host_as_it_is_has_no_such_section_and_loads_no_code_of_it(tmp_path: Path) -> None:
    assert runner(tmp_path, *CELL, "--host-condition", "none").returncode == 0
    found = record_of(tmp_path)
    assert "host_condition" not in found
    assert "host-condition" not in found["flags"]
    files = [name for name in found["keys"]["code_files"] if name.startswith("hostcondition/")]
    assert files == ["hostcondition/__init__.py", "hostcondition/condition.py"]


@contextmanager
def measuring(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, list[int]]]:
    """A command that measures beside two neighbours: it, its worker's pid, and the neighbours' pids."""
    command = [sys.executable, "-m", "runner", *CELL, "--host-condition", "busy:2"]
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        until = time.monotonic() + 60
        neighbours: list[int] = []
        worker = 0
        while len(neighbours) < 2 and time.monotonic() < until:
            time.sleep(0.05)
            worker = next(iter(children(process.pid)), 0)
            neighbours = children(worker) if worker else []
        assert len(neighbours) == 2
        time.sleep(1)  # a process is in its own group a moment after it was made
        assert {os.getpgid(pid) for pid in neighbours} == {*neighbours}
        yield process, worker, neighbours
        process.kill()


def test_neighbours_end_when_the_worker_is_killed(tmp_path: Path) -> None:
    with measuring(tmp_path) as (process, worker, neighbours):
        os.kill(worker, signal.SIGKILL)
        assert have_ended(neighbours)
        assert process.wait(60) == WorkerFailed.exit_code
    found = record_of(tmp_path)
    assert (found["outcome"]["signal"], found["request"]["host_condition"]) == ("SIGKILL", "busy:2")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_neighbours_end_when_the_command_is_killed_and_hold_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with measuring(tmp_path) as (process, worker, neighbours):
        process.send_signal(number)
        assert have_ended([worker, *neighbours])
        process.wait(60)
    assert hostlock.holder() is None


@pytest.mark.whole
def test_a_neighbour_that_is_killed_ends_the_session(tmp_path: Path) -> None:
    with measuring(tmp_path) as (process, _worker, neighbours):
        os.kill(neighbours[0], signal.SIGKILL)
        assert process.wait(120) == WorkerFailed.exit_code
    assert "1 of 2 busy neighbours ended early" in record_of(tmp_path)["outcome"]["message"]


@pytest.mark.parametrize(
    ("declared", "kind", "said"),
    [
        (f"pinned:{CORES + 1}", BadPair, f"and this process may use {CORES} here: name fewer"),
        ("busy:0", BadValue, "host_condition=busy:0: must be pinned:K or busy:N, with a whole number from 1 to 256"),
        ("pinned", BadValue, "host_condition=pinned: must be"),
    ],
)
def test_a_condition_that_cannot_be_is_refused_in_one_line(
    tmp_path: Path, declared: str, kind: type[BadPair | BadValue], said: str
) -> None:
    done = runner(tmp_path, *CELL, "--host-condition", declared)
    assert done.returncode == kind.exit_code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not [*(tmp_path / "spool").glob("*.json")]


def test_an_ab_is_refused_in_one_line(tmp_path: Path) -> None:
    fields = ("--field", "cache", "--a", "dynamic", "--b", "static", "--host-condition", "busy:2")
    done = runner(tmp_path, "ab", *fields, *CELL[1:7], "--spool", "spool")
    assert (done.returncode, done.stderr.count("\n")) == (BadPair.exit_code, 1)
    assert "host_condition=busy:2: an A/B compares cells on the host as it is" in done.stderr
