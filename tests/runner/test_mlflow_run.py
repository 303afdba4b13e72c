"""Commands through `mlflow run` itself: the run it makes is closed with the reason, whatever becomes of them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import mlflowruns


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, so that spool and store lie in the test's folder."""
    mlflowruns.copied(tmp_path)
    return tmp_path


def start(project: Path, *parameters: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PATH": mlflowruns.PATH, "MLFLOW_TRACKING_URI": f"sqlite:///{project}/mlflow.db"}
    return subprocess.Popen(
        mlflowruns.command("cell", *parameters),
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def the_run(project: Path) -> Any:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    (run,) = client.search_runs([found.experiment_id for found in client.search_experiments()])
    return run


@pytest.mark.slow
def test_a_gpu_that_is_not_here_fails_the_run_with_the_reason(project: Path) -> None:
    process = start(project, "gpu=jetson-thor")
    said, _ = process.communicate(timeout=120)
    run = the_run(project)
    assert process.returncode != 0
    assert "error: this machine has no Jetson AGX Thor (T5000): found" in said
    assert run.info.status == "FAILED"
    assert (run.data.tags["reason"], run.data.tags["exit_code"]) == ("gpu-not-found", "14")
    assert run.info.run_name == "jetson-thor: no such GPU here"
    assert run.data.tags["mlflow.note.content"].startswith(
        "**No result: no such GPU here**\n\nthis machine has no Jetson"
    )
    # where `mlflow run` has no --experiment-name
    assert "note: this run is in MLflow's experiment Default" in said
    assert "add --experiment-name decode-floor" in said


@pytest.mark.whole
@pytest.mark.slow
@pytest.mark.parametrize(
    ("whom", "number", "within_s", "reason", "exit_code"),
    [
        ("mlflow", signal.SIGTERM, (0.0, 0.3), "terminated", "143"),
        ("entry", signal.SIGTERM, (0.1, 3.0), "terminated", "143"),
        ("group", signal.SIGINT, (0.1, 3.0), "interrupted", "130"),
    ],
)
def test_a_signal_at_any_moment_leaves_a_closed_run_with_the_reason_and_no_process(
    project: Path, whom: str, number: signal.Signals, within_s: tuple[float, float], reason: str, exit_code: str
) -> None:
    process = start(project, "gpu=cpu", "model=tiny", "ctx=64", "steps=4000")
    entry = _entry(project)
    time.sleep(random.Random(whom).uniform(*within_s))
    if whom == "group":
        os.killpg(process.pid, number)  # as a terminal does on Ctrl-C, and once more for the impatient
        time.sleep(0.3)
        os.killpg(process.pid, number)
    else:
        os.kill(entry if whom == "entry" else process.pid, number)
    # the pipe ends when the last process that was started holds it no more
    said, _ = process.communicate(timeout=120)
    assert _left_behind(project) == []
    run = the_run(project)
    # MLflow, where it is still there, marks the run of a command that did not end with 0 as FAILED
    assert run.info.status in ("KILLED", "FAILED")
    assert (run.data.tags.get("reason"), run.data.tags.get("exit_code")) == (reason, exit_code), said
    assert "warning:" not in said
    assert list((project / "spool").glob(".runs/*")) == []


def _entry(project: Path) -> int:
    """The process of `python -m runner`, as soon as it is there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for pid in _left_behind(project):
            if b"\0runner\0cell\0" in _command_line(pid):
                return pid
        time.sleep(0.005)
    raise AssertionError("the entry did not start")


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.whole
@pytest.mark.slow
def test_the_death_of_mlflow_stops_the_worker_and_closes_the_run(project: Path) -> None:
    process = start(project, "gpu=cpu", "model=tiny", "ctx=64", "steps=4000")
    assert process.stdout is not None
    # the pipe ends when the last process that was started holds it no more
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "] import" in line:
            process.send_signal(signal.SIGKILL)
    process.wait()
    assert "error: the process that started us died\n" in lines
    assert _left_behind(project) == []
    run = the_run(project)
    assert run.info.status == "KILLED"
    assert run.data.tags["message"] == "the process that started us died"
    assert len(list((project / "spool").glob("*.json"))) == 1


@pytest.mark.slow
def test_a_killed_command_takes_its_worker_along(project: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", "cell", "--gpu", "cpu", "--model", "tiny", "--ctx", "64", "--spool", "s"],
        cwd=project,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    assert "import" in process.stderr.readline()
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while _left_behind(project) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _left_behind(project) == []


def _left_behind(project: Path) -> list[int]:
    """Processes whose working folder is the project's copy."""
    return [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and _works_in(entry, project)
    ]


def _works_in(process: Path, folder: Path) -> bool:
    try:
        return Path(os.readlink(process / "cwd")) == folder.resolve()
    except OSError:
        return False
