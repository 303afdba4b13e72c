"""The finding on runs that are RUNNING, in a real SQLite store and on a real server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner.doctor import leftruns
from runner.doctor.finding import NOTE, OK
from runner.processes import proc
from runner.store import owner
from runner.store.session_run import OWNER_TAG


def open_run(uri: str, **changes: str) -> str:
    """Makes a run of this process, or of another one if `changes` say so. Returns its id."""
    process = replace(proc.this_process(), **changes)  # type: ignore[arg-type]  # str fields only
    return str(MlflowClient(uri).create_run("0", tags={OWNER_TAG: process.text}).info.run_id)


def test_before_the_first_session_no_run_is_open(tmp_path: Path) -> None:
    assert leftruns.finding() == leftruns.ok("runs", "no command has left a run RUNNING")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_runs_are_reported_by_the_state_of_their_process(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    MlflowClient(uri).create_run("0", tags={"owner": "another program"})
    assert leftruns.finding().state == OK
    MlflowClient(uri).create_run("0", tags=owner.tag())
    assert (leftruns.finding().state, leftruns.finding().finding) == (OK, "1 run of a command that runs now")
    ended, elsewhere = open_run(uri, started="1"), open_run(uri, host="another")
    found = leftruns.finding()
    assert found.state == NOTE
    assert found.finding == (
        f"1 run of a command that runs now, 1 run RUNNING though the process has ended ({ended}) and "
        f"1 run RUNNING whose process cannot be asked ({elsewhere})"
    )
    assert found.remedy == (
        "python -m runner import spool closes those of ended processes; "
        "python -m runner import spool --older-than 7d closes the others that began more than 7 days ago"
    )


@pytest.mark.slow
def test_the_runs_of_a_server_are_reported_too(http_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", http_uri)
    run_id = open_run(http_uri, started="1")
    assert run_id in leftruns.finding().finding
    MlflowClient(http_uri).set_terminated(run_id)


def test_a_store_that_cannot_be_asked_is_no_problem_of_this_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert leftruns.finding() == leftruns.note("runs", "the store cannot be asked for open runs")
