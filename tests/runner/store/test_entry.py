"""What becomes of the run that `mlflow run` made when its entry fails or is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner import store
from runner.errors import GpuNotFound, Interrupted, OutOfMemory, Terminated
from runner.processes import proc, signals
from runner.record import open_runs, record, sidecar
from runner.store import EntryRun, address
from tests.runner.store import contents
from tests.support.derive import typed
from tests.support.records import example_record
from tests.support.stores import free_port

ROOT = Path(__file__).resolve().parents[3]


def _made_run(uri: str, experiment: str = "0") -> str:
    return str(MlflowClient(tracking_uri=uri).create_run(experiment).info.run_id)


def _status(uri: str, run_id: str) -> str:
    return str(MlflowClient(tracking_uri=uri).get_run(run_id).info.status)


@pytest.mark.medium
def test_a_failed_entry_leaves_reason_exit_code_and_message(any_uri: str) -> None:
    run_id = _made_run(any_uri)
    EntryRun(run_id).fail(GpuNotFound("this machine has no L4: found none"))
    run = MlflowClient(tracking_uri=any_uri).get_run(run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["reason"] == "gpu-not-found"
    assert run.data.tags["exit_code"] == "14"
    assert run.data.tags["message"] == "this machine has no L4: found none"


@pytest.mark.medium
def test_an_interrupted_entry_leaves_a_killed_run(sqlite_uri: str) -> None:
    run_id = _made_run(sqlite_uri)
    EntryRun(run_id).fail(Interrupted("stopped by Ctrl-C"))
    assert _status(sqlite_uri, run_id) == "KILLED"


@pytest.mark.medium
def test_a_run_that_its_record_has_closed_stays_as_it_is(sqlite_uri: str) -> None:
    run = EntryRun(store.commit(typed(example_record()), _made_run(sqlite_uri)))
    run.mark_closed()
    run.fail(Terminated("stopped by SIGTERM"))
    assert _status(sqlite_uri, run.id) == "FINISHED"


@pytest.mark.medium
def test_a_store_that_is_away_is_a_warning_and_not_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    run = EntryRun("0" * 32)
    run.mark(tmp_path)
    run.fail(OutOfMemory("out of memory"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: run 000")
    # still open: an import has to close it
    assert (tmp_path / ".runs" / run.id).exists()


@pytest.mark.medium
def test_the_marker_is_there_while_the_run_is_open(sqlite_uri: str, tmp_path: Path) -> None:
    run = EntryRun(_made_run(sqlite_uri))
    run.mark(tmp_path)
    assert [file.name for file in (tmp_path / ".runs").iterdir()] == [run.id]
    run.fail(OutOfMemory("out of memory"))
    assert list((tmp_path / ".runs").iterdir()) == []


@pytest.mark.medium
def test_a_signal_while_the_marker_is_written_leaves_none_behind(
    sqlite_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = EntryRun(_made_run(sqlite_uri))
    write = open_runs.write_marker

    def interrupted(folder: Path, run_id: str) -> Path | None:
        with signals.held():
            os.kill(os.getpid(), signal.SIGTERM)
            return write(folder, run_id)

    monkeypatch.setattr(open_runs, "write_marker", interrupted)
    monkeypatch.setattr(signals._State, "stopped", False)
    before = {number: signal.getsignal(number) for number in signals.STOPPING}
    signals.install()
    try:
        with pytest.raises(Terminated) as stopped:
            run.mark(tmp_path)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert list(tmp_path.glob(".runs/*"))
    run.fail(stopped.value)
    assert list(tmp_path.glob(".runs/*")) == []


def test_a_spool_that_cannot_be_written_keeps_no_marker_and_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    EntryRun("0" * 32).mark(tmp_path / "file")


def test_a_name_that_is_no_run_id_is_no_file_name(tmp_path: Path) -> None:
    EntryRun("../../outside").mark(tmp_path / "spool")
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.medium
def test_the_marker_is_left_before_the_command_line_is_imported(sqlite_uri: str, tmp_path: Path) -> None:
    code = "import sys; from runner import __main__ as m; m._command_line = lambda *_: sys.exit(len(sys.modules)); "
    code += "m._entry_run(['cell', '--spool', 'there']); print('runner.cli' in sys.modules, 'mlflow' in sys.modules)"
    run_id = _made_run(sqlite_uri)
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_RUN_ID": run_id},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said == "False False\n"
    assert (tmp_path / "there" / ".runs" / run_id).exists()


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
    assert "waiting for another session" in entry.stderr.readline()
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


def test_an_import_without_markers_and_records_needs_no_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    assert store.import_folder(tmp_path).closed == ()
    assert time.monotonic() - started < 1
