"""What becomes of the run that `mlflow run` made when its entry fails or is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner import store
from runner.store import entry
from tests.runner.store import contents
from tests.runner.store.conftest import free_port

ROOT = Path(__file__).resolve().parents[3]


def _made_run(uri: str) -> str:
    return str(MlflowClient(tracking_uri=uri).create_run("0").info.run_id)


def _status(uri: str, run_id: str) -> str:
    return str(MlflowClient(tracking_uri=uri).get_run(run_id).info.status)


def test_a_failed_entry_leaves_reason_exit_code_and_message(any_uri: str) -> None:
    run_id = _made_run(any_uri)
    store.fail_run(run_id, "gpu-not-found", 14, "this machine has no L4: found none", killed=False)
    run = MlflowClient(tracking_uri=any_uri).get_run(run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["reason"] == "gpu-not-found"
    assert run.data.tags["exit_code"] == "14"
    assert run.data.tags["message"] == "this machine has no L4: found none"


def test_an_interrupted_entry_leaves_a_killed_run(sqlite_uri: str) -> None:
    run_id = _made_run(sqlite_uri)
    store.fail_run(run_id, "interrupted", 130, "stopped by Ctrl-C", killed=True)
    assert _status(sqlite_uri, run_id) == "KILLED"


def test_a_store_that_is_away_is_a_warning_and_not_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    store.open_run("0" * 32)
    store.fail_run("0" * 32, "oom", 18, "out of memory", killed=False)
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("warning: run 000") for line in lines] == [True, True]


def test_the_run_of_a_killed_entry_is_closed_by_the_import(sqlite_uri: str, tmp_path: Path) -> None:
    run_id = _made_run(sqlite_uri)
    killed = _entry_process(run_id)
    try:
        # while it lives its run is its own
        assert store.import_folder(tmp_path).closed == ()
        assert _status(sqlite_uri, run_id) == "RUNNING"
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert store.import_folder(tmp_path).closed == (run_id,)
    run = MlflowClient(tracking_uri=sqlite_uri).get_run(run_id)
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", "abandoned")
    assert store.import_folder(tmp_path).closed == ()


def _entry_process(run_id: str) -> subprocess.Popen[str]:
    """A real process that has opened the run and then waits."""
    program = f"from runner import store; store.open_run({run_id!r}); print('open', flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def test_runs_of_others_that_are_running_are_left_alone(sqlite_uri: str, tmp_path: Path) -> None:
    client = MlflowClient(tracking_uri=sqlite_uri)
    here = entry.this_process()
    not_ours = _made_run(sqlite_uri)
    for other in (replace(here, host="another"), replace(here, namespace="pid:[1]", pid=1), here):
        client.set_tag(_made_run(sqlite_uri), entry.ENTRY_TAG, json.dumps(asdict(other)))
    client.set_tag(_made_run(sqlite_uri), entry.ENTRY_TAG, f"not JSON, but names {here.host}")
    assert store.import_folder(tmp_path).closed == ()
    assert {run.info.status for run in contents.runs(sqlite_uri)} == {"RUNNING"}
    assert _status(sqlite_uri, not_ours) == "RUNNING"


@pytest.mark.parametrize("change", [{"boot": "an earlier one"}, {"started": "1"}])
def test_a_reboot_or_a_reused_pid_means_that_the_entry_has_ended(change: dict[str, str]) -> None:
    here = entry.this_process()
    assert not entry.has_ended(here)
    assert entry.has_ended(replace(here, **change))  # type: ignore[arg-type]  # one str field at a time


def test_a_zombie_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert entry.has_ended(replace(entry.this_process(), pid=child.pid, started="1"))
    child.wait()
