"""The program around the command line: every failure and every signal is one line and an exit code."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from runner import errors, store
from runner.commands import measuring
from tests.support.processes import ROOT, Main, environment, runner


def test_an_unexpected_failure_is_one_line_too(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(measuring, "run_session", broken)
    code, _, err = main("cell", "--spool", "s")
    assert (code, err) == (
        1,
        "error: unexpected KeyError: 'x' (a bug; set DECODE_FLOOR_TRACEBACK=1 to see where)\n",
    )
    monkeypatch.setenv("DECODE_FLOOR_TRACEBACK", "1")
    assert "Traceback (most recent call last)" in main("cell", "--spool", "s")[2]


def test_a_full_disk_has_a_code_of_its_own(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")

    monkeypatch.setattr(measuring, "run_session", full)
    code, _, err = main("cell", "--spool", "s")
    assert code == 22
    assert err.startswith("error: no space left ([Errno 28]")


@pytest.mark.medium
def test_without_click_the_way_to_the_environment_is_said(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError('No module named click', name='click')")
    found = runner(tmp_path, "--help", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert found.returncode == 25
    assert "lacks the package click: use `make cell`" in found.stderr
    assert sys.executable in found.stderr
    assert len(found.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["interrupted", "terminated"])
def test_under_mlflow_run_a_stopped_command_kills_the_run(
    main: Main, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    kind = {error.reason: error for error in errors.family()}[name]
    error = kind("stopped")
    assert _stopped_under_mlflow(main, monkeypatch, error) == [("run-1", type(error), str(error))]


def test_under_mlflow_run_an_error_fails_the_run(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    error = errors.GpuNotFound("no L4")
    assert _stopped_under_mlflow(main, monkeypatch, error) == [("run-1", type(error), str(error))]


def _stopped_under_mlflow(main: Main, monkeypatch: pytest.MonkeyPatch, error: errors.Failure) -> list[tuple[Any, ...]]:
    closed: list[tuple[Any, ...]] = []

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setenv("MLFLOW_RUN_ID", "run-1")
    monkeypatch.setattr("runner.processes.parentwatch.watch_ancestors", lambda _: ())
    monkeypatch.setattr("runner.store.entry._close", lambda run, why: closed.append((run, type(why), str(why))))
    monkeypatch.setattr(measuring, "run_session", fail)
    monkeypatch.setattr(store, "before_measuring", lambda _run_id: None)  # there is no store with such a run
    main("cell")
    return closed


SLOW_WORKER = """
    import os, sys, time
    from pathlib import Path
    Path(os.environ["PID_FILE"]).write_text(str(os.getpid()))
    time.sleep(600)
"""


@pytest.mark.medium
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_ends_the_command_with_its_code_and_leaves_a_record(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    # the real command line, with a slow program in the place of the worker
    (tmp_path / "worker.py").write_text(textwrap.dedent(SLOW_WORKER))
    slow = [sys.executable, str(tmp_path / "worker.py")]
    start = f"from runner.launch import local as workers; workers.LocalWorker.__init__.__defaults__ = ({slow!r},)"
    command = f"{start}; import sys; from runner.__main__ import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "cell", "--gpu", "cpu", "--model", "tiny", "--ctx", "64", "--spool", "spool"],
        cwd=tmp_path,
        env=environment(PID_FILE=str(tmp_path / "pid")),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.monotonic() + 120
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert err.splitlines()[-1].startswith("error: stopped by ")
    assert "Traceback" not in err
    (file,) = (tmp_path / "spool").glob("*.json")
    assert json.loads(file.read_text())["outcome"]["status"] == "interrupted"
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()
