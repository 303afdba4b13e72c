"""The worker of a bench is a real process; small scripts stand in its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.bench import result, starting
from runner.bench.assignment import Assignment
from runner.bench.result import Bench
from runner.errors import BadValue, OutOfMemory, WorkerFailed, WorkerTimeout
from runner.job import Job
from runner.launch.local import WORKER_COMMAND
from runner.machine import hostlock
from tests.support.benches import example_bench
from tests.support.processes import worker

WRITES = """
    import json, shutil, sys
    order = json.load(open(sys.argv[1]))
    print("@phase round 1: eager", flush=True)
    shutil.copy({written!r}, order["result_path"])
"""
FAILS = """
    print('@error {"reason": "oom", "exit_code": 18, "message": "out of memory: choose less"}', flush=True)
"""
Start = Callable[..., Bench]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The file of the example, which a script copies."""
    path = tmp_path / "example.json"
    path.write_text(result.dump(example_bench()))
    return path


@pytest.fixture
def phases() -> list[str]:
    return []


@pytest.fixture
def start(tiny_job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phases: list[str]) -> Start:
    """A function that runs a script in the worker's place; `phases` collects what was announced."""

    def run(script: str, timeout_s: float = 30.0) -> Bench:
        monkeypatch.setattr(starting, "COMMAND", worker(tmp_path, script))
        order = Assignment((tiny_job,), (), 3)
        return starting.run(
            order, tmp_path / "out.json", timeout_s, lambda phase, _: phases.append(phase), phases.append
        )

    return run


def test_the_worker_is_told_that_its_job_is_a_bench() -> None:
    assert (*WORKER_COMMAND, "--bench") == starting.COMMAND


@pytest.mark.medium
def test_the_workers_result_comes_back_and_its_phases_are_shown(start: Start, written: Path, phases: list[str]) -> None:
    assert start(WRITES.format(written=str(written))) == example_bench()
    assert phases == ["round 1: eager"]


@pytest.mark.medium
def test_the_host_is_held_meanwhile(start: Start, written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []
    run_to_end = starting.process.run_to_end
    monkeypatch.setattr(
        starting.process, "run_to_end", lambda *given: held.append(hostlock.holder()) or run_to_end(*given)
    )
    start(WRITES.format(written=str(written)))
    assert len(held) == 1
    assert f"pid {os.getpid()}" in str(held[0])
    assert hostlock.holder() is None


@pytest.mark.medium
def test_the_workers_error_is_the_commands(start: Start) -> None:
    with pytest.raises(OutOfMemory, match="out of memory: choose less"):
        start(FAILS)


@pytest.mark.medium
def test_a_crash_is_one_line_with_the_last_output(start: Start) -> None:
    with pytest.raises(WorkerFailed, match=r"exit code 3 .*its last output: a CUDA error"):
        start("import sys; print('a CUDA error'); sys.exit(3)")


@pytest.mark.medium
def test_a_worker_that_hangs_is_stopped(start: Start) -> None:
    with pytest.raises(WorkerTimeout, match="--timeout allows more time"):
        start("import time; time.sleep(60)", timeout_s=0.5)


def test_a_result_is_never_overwritten(tmp_path: Path) -> None:
    starting.check_result(tmp_path / "new" / "found.json")
    assert (tmp_path / "new").is_dir()
    (tmp_path / "found.json").touch()
    with pytest.raises(BadValue, match=r"found.json exists: name another file with --out"):
        starting.check_result(tmp_path / "found.json")


def test_a_folder_that_cannot_be_written_is_named_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadValue, match=r"file/found.json cannot be written .*name another file with --out"):
        starting.check_result(tmp_path / "file" / "found.json")
