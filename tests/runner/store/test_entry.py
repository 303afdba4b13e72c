"""What becomes of the run that `mlflow run` made when its entry fails or is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner import store
from runner.errors import GpuNotFound, Interrupted, OutOfMemory, Terminated
from runner.processes import proc, signals
from runner.record import open_runs
from runner.store import EntryRun, owner
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


@pytest.mark.medium
def test_a_claimed_run_names_this_process_as_its_owner(any_uri: str) -> None:
    run_id = _made_run(any_uri)
    EntryRun(run_id).claim()
    assert owner.owner_of(MlflowClient(tracking_uri=any_uri).get_run(run_id).data.tags) == proc.this_process()


@pytest.mark.medium
def test_a_run_of_another_store_cannot_be_claimed(sqlite_uri: str) -> None:
    EntryRun("0" * 32).claim()
    assert contents.runs(sqlite_uri) == []
