"""Runs that nobody will close: which an import closes, with what reason, and which it leaves alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner import store
from runner.errors import StoreUnreachable
from runner.processes import proc
from runner.record import record, sidecar
from runner.store import EntryRun, Summary, abandoned, address
from runner.store.session_run import OWNER_TAG, PROJECT, SOURCE_TAG
from tests.runner.store import contents
from tests.support.records import example_record
from tests.support.stores import free_port

ROOT = Path(__file__).resolve().parents[3]
DAY_MS = 86_400_000
WEEK = timedelta(days=7)


def _made_run(uri: str, experiment: str = "0") -> str:
    return str(MlflowClient(tracking_uri=uri).create_run(experiment).info.run_id)


def _status(uri: str, run_id: str) -> str:
    return str(MlflowClient(tracking_uri=uri).get_run(run_id).info.status)


def _owned_run(uri: str, days: float = 0.0, **changes: str | int) -> str:
    """Makes a RUNNING run that began so many days ago, of this process or of another one if `changes` say so."""
    process = replace(proc.this_process(), **changes)  # type: ignore[arg-type]  # mixed fields
    started_ms = int(time.time() * 1000 - days * DAY_MS)
    return str(MlflowClient(uri).create_run("0", started_ms, {OWNER_TAG: process.text}).info.run_id)


@pytest.mark.medium
def test_the_run_of_a_killed_entry_is_closed_by_the_import_in_whatever_experiment(
    sqlite_uri: str, tmp_path: Path
) -> None:
    elsewhere = MlflowClient(tracking_uri=sqlite_uri).create_experiment("chosen with mlflow run --experiment-name")
    run_id = _made_run(sqlite_uri, elsewhere)
    killed = _entry_process(run_id, tmp_path)
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
    assert list((tmp_path / "spool" / ".runs").iterdir()) == []


@pytest.mark.medium
def test_a_run_that_mlflow_closed_after_a_kill_is_told_why_by_the_import(sqlite_uri: str, tmp_path: Path) -> None:
    run_id = _made_run(sqlite_uri)
    killed = _entry_process(run_id, tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    client = MlflowClient(tracking_uri=sqlite_uri)
    client.set_terminated(run_id, "FAILED")  # as `mlflow run` does, which does not know why
    assert store.import_folder(tmp_path).closed == (run_id,)
    assert client.get_run(run_id).data.tags["reason"] == "abandoned"


def _entry_process(run_id: str, folder: Path) -> subprocess.Popen[str]:
    """A real command that waits for the host, held by another session: long before it needs MLflow."""
    lock = folder / "lock"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DECODE_FLOOR_LOCK_DIR": str(lock)}
    held = (
        "from runner.machine import hostlock; h = hostlock.hold(False, print); h.__enter__(); print('held', flush=True)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", f"{held}; print('held', flush=True); input()"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    command = ["-m", "runner", "cell", "--gpu", "cpu", "--model", "tiny", "--ctx", "64"]
    entry = subprocess.Popen(
        [sys.executable, *command],
        env={**environment, "MLFLOW_RUN_ID": run_id},
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert entry.stderr is not None
    assert any("waiting for another session" in line for line in entry.stderr)
    holder.kill()
    return entry


@pytest.mark.medium
def test_a_killed_entry_whose_record_is_there_has_it_imported(sqlite_uri: str, tmp_path: Path) -> None:
    run_id = _made_run(sqlite_uri)
    _leave_marker(tmp_path, run_id)
    record.write(example_record(), tmp_path / "session.json")
    sidecar.remember_run(tmp_path / "session.json", run_id)
    report = store.import_folder(tmp_path)
    assert (report.imported, report.closed, report.refused) == ((run_id,), (), ())
    assert _status(sqlite_uri, run_id) == "FINISHED"
    assert list((tmp_path / ".runs").iterdir()) == []


def _leave_marker(spool: Path, run_id: str, **changes: str | int) -> None:
    """The marker of a process that has ended, unless `changes` say otherwise."""
    owner = replace(proc.this_process(), **{"started": "1", **changes})  # type: ignore[arg-type]  # mixed fields
    (spool / ".runs").mkdir(exist_ok=True)
    (spool / ".runs" / run_id).write_text(json.dumps(asdict(owner)))


@pytest.mark.medium
def test_runs_of_others_that_are_running_are_left_alone(sqlite_uri: str, tmp_path: Path) -> None:
    unmarked = _made_run(sqlite_uri)
    _leave_marker(tmp_path, _made_run(sqlite_uri), host="another")
    _leave_marker(tmp_path, _made_run(sqlite_uri), namespace="pid:[1]", pid=1)
    EntryRun(_made_run(sqlite_uri)).mark(tmp_path)
    (tmp_path / ".runs" / _made_run(sqlite_uri)).write_text("not JSON")
    assert store.import_folder(tmp_path).closed == ()
    assert {run.info.status for run in contents.runs(sqlite_uri)} == {"RUNNING"}
    assert _status(sqlite_uri, unmarked) == "RUNNING"


@pytest.mark.medium
def test_a_marker_of_a_run_in_another_store_is_kept_for_that_one(sqlite_uri: str, tmp_path: Path) -> None:
    assert address.tracking_uri() == sqlite_uri
    _leave_marker(tmp_path, "0" * 32)
    assert store.import_folder(tmp_path).closed == ()
    assert [file.name for file in (tmp_path / ".runs").iterdir()] == ["0" * 32]


@pytest.mark.medium
@pytest.mark.parametrize("changes", [{"started": "1"}, {"boot": "an earlier one"}])
def test_the_run_of_a_process_of_this_host_that_has_ended_is_closed_from_any_folder(
    any_uri: str, tmp_path: Path, changes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proc.host, "installation_id", lambda: "a machine id")
    run_id = _owned_run(any_uri, **changes)
    report = store.import_folder(tmp_path)
    assert run_id in report.closed  # a server that all tests share may have others
    assert run_id not in report.left
    run = MlflowClient(any_uri).get_run(run_id)
    assert (run.info.status, run.data.tags["reason"], run.data.tags["valid"]) == ("FAILED", "abandoned", "false")
    assert run.data.tags["message"] == (
        "the process ended without closing the run (it was killed, or the power failed): "
        f"pid {os.getpid()} of this host"
    )
    assert run.data.tags["mlflow.note.content"].startswith("**No result: abandoned**")
    assert store.import_folder(tmp_path).closed == ()


@pytest.mark.medium
def test_another_hosts_run_is_closed_only_if_it_is_older(sqlite_uri: str, tmp_path: Path) -> None:
    old, new = _owned_run(sqlite_uri, 8, host="another"), _owned_run(sqlite_uri, 6, host="another")
    contained = _owned_run(sqlite_uri, 8, namespace="pid:[1]")
    assert store.import_folder(tmp_path).closed == ()
    assert set(store.import_folder(tmp_path).left) == {old, new, contained}
    report = store.import_folder(tmp_path, WEEK)
    assert (set(report.closed), report.left) == ({old, contained}, (new,))
    run = MlflowClient(sqlite_uri).get_run(old)
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", "abandoned")
    assert run.data.tags["message"] == (
        "RUNNING for 192 h, and the process of another host or container cannot be asked: closed by an import with "
        "--older-than"
    )


@pytest.mark.medium
def test_the_message_of_a_younger_run_counts_minutes(sqlite_uri: str, tmp_path: Path) -> None:
    young = _owned_run(sqlite_uri, 10 / (24 * 60), host="another")
    assert store.import_folder(tmp_path, timedelta(minutes=1)).closed == (young,)
    message = MlflowClient(sqlite_uri).get_run(young).data.tags["message"]
    assert message.startswith("RUNNING for 10 min, and the process")


@pytest.mark.medium
def test_a_run_whose_process_lives_here_is_never_closed(sqlite_uri: str, tmp_path: Path) -> None:
    run_id = _owned_run(sqlite_uri, 1000)
    _leave_marker(tmp_path, run_id)  # of an earlier process that had the run
    report = store.import_folder(tmp_path, timedelta(minutes=1))
    assert (report.closed, report.left) == ((), ())
    assert _status(sqlite_uri, run_id) == "RUNNING"


@pytest.mark.medium
def test_a_run_without_an_owner_is_closed_only_if_it_is_ours_and_older(sqlite_uri: str, tmp_path: Path) -> None:
    client, began_ms = MlflowClient(sqlite_uri), int(time.time() * 1000 - 8 * DAY_MS)
    ours = client.create_run("0", began_ms, {SOURCE_TAG: PROJECT}).info.run_id
    damaged = client.create_run("0", began_ms, {OWNER_TAG: "no process"}).info.run_id
    theirs = client.create_run("0", began_ms, {SOURCE_TAG: "train.py"}).info.run_id
    assert store.import_folder(tmp_path).closed == ()
    assert set(store.import_folder(tmp_path, WEEK).closed) == {ours, damaged}
    assert "the process that the run does not name cannot be asked" in client.get_run(ours).data.tags["message"]
    assert _status(sqlite_uri, theirs) == "RUNNING"


@pytest.mark.medium
def test_a_start_in_the_future_is_not_old(sqlite_uri: str, tmp_path: Path) -> None:
    run_id = _owned_run(sqlite_uri, -100, host="another")
    assert store.import_folder(tmp_path, timedelta(minutes=1)).left == (run_id,)


@pytest.mark.medium
def test_a_run_that_got_another_owner_meanwhile_is_left_open(
    sqlite_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = _owned_run(sqlite_uri, started="1")
    found = abandoned.running_of(sqlite_uri)
    EntryRun(run_id).claim()
    monkeypatch.setattr(abandoned, "running_of", lambda _uri: found)
    assert store.import_folder(tmp_path).closed == ()
    assert _status(sqlite_uri, run_id) == "RUNNING"


@pytest.mark.medium
def test_a_report_that_was_taken_for_abandoned_is_finished_all_the_same(sqlite_uri: str, tmp_path: Path) -> None:
    client = MlflowClient(sqlite_uri)
    run_id = _owned_run(sqlite_uri, 8, host="another")
    assert store.import_folder(tmp_path, WEEK).closed == (run_id,)
    store.commit_report("floor", Summary({}, {}, "note", {}), run_id)
    run = client.get_run(run_id)
    assert (run.info.status, "reason" in run.data.tags, "message" in run.data.tags) == ("FINISHED", False, False)


@pytest.mark.medium
def test_a_session_that_was_taken_for_abandoned_is_stored_all_the_same(sqlite_uri: str, tmp_path: Path) -> None:
    run_id = _owned_run(sqlite_uri, 8, host="another")
    assert store.import_folder(tmp_path, WEEK).closed == (run_id,)
    record.write(example_record(), tmp_path / "session.json")
    sidecar.remember_run(tmp_path / "session.json", run_id)
    assert store.import_folder(tmp_path).imported == (run_id,)
    run = MlflowClient(sqlite_uri).get_run(run_id)
    assert (run.info.status, run.data.tags["reason"], run.data.tags["valid"]) == ("FINISHED", "", "true")


@pytest.mark.medium
def test_the_run_of_a_killed_import_is_closed_by_another_folders_import(sqlite_uri: str, tmp_path: Path) -> None:
    """A run that this program makes has an owner from its first moment."""
    code = "import os, signal, sys, runner.store; from pathlib import Path; from runner.record import written; "
    code += "commit = sys.modules['runner.store.commit']; "
    code += "commit._fill = lambda *_: os.kill(os.getpid(), signal.SIGKILL); "
    code += "commit.commit(written.read(Path(sys.argv[1])), None)"
    record.write(example_record(), tmp_path / "spool" / "session.json")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(tmp_path / "spool" / "session.json")]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    (run,) = contents.runs(sqlite_uri)
    assert run.info.status == "RUNNING"
    (tmp_path / "other").mkdir()
    assert store.import_folder(tmp_path / "other").closed == (run.info.run_id,)
    assert store.import_folder(tmp_path / "spool").imported == (run.info.run_id,)
    assert _status(sqlite_uri, run.info.run_id) == "FINISHED"


def test_an_import_of_an_empty_folder_makes_no_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    assert store.import_folder(tmp_path / "spool").is_empty
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]


def test_a_server_that_is_away_cannot_be_asked_for_open_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    with pytest.raises(StoreUnreachable, match="does not answer"):
        store.import_folder(tmp_path)
    assert time.monotonic() - started < 2
