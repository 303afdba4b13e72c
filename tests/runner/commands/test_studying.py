"""The command `study`: what it prints, measures, continues, and how it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import Interrupted, StoreUnreachable, Terminated
from runner.launch.session import Finished, Settings
from runner.processes import parentwatch
from runner.study import cellseries, studystate
from tests.support import standins
from tests.support.processes import Main
from tests.support.studies import write

if TYPE_CHECKING:
    from mlflow.entities import Run

ROOT = Path(__file__).parents[3]
CELLS = """
    sessions: 2
    matrix: {gpu: cpu, model: tiny, ctx: [64, 128], cache: static}
"""


@pytest.mark.medium
def test_an_interrupted_study_continues_where_it_was(main: Main, worker: standins.Worker, tmp_path: Path) -> None:
    file = write(tmp_path, CELLS)
    worker.fates = {1: Interrupted("stopped by Ctrl-C")}
    assert main("study", str(file), "--spool", "spool")[0] == 130
    assert main("study", str(file), "--spool", "spool")[0] == 0
    assert worker.count == 1 + 1 + 3


@pytest.mark.medium
def test_sessions_of_an_earlier_cell_command_count(main: Main, worker: standins.Worker, tmp_path: Path) -> None:
    other = write(tmp_path, CELLS.replace("[64, 128]", "64").replace("sessions: 2", "sessions: 1"), "other.yaml")
    assert main("study", str(other), "--spool", "spool")[0] == 0
    assert main("study", str(write(tmp_path, CELLS)), "--spool", "spool")[0] == 0
    assert worker.count == 4


@pytest.mark.medium
def test_a_redo_measures_anew_and_may_be_continued(main: Main, worker: standins.Worker, tmp_path: Path) -> None:
    file = write(tmp_path, CELLS)
    assert main("study", str(file), "--spool", "spool")[0] == 0
    worker.fates = {6: Interrupted("stopped by Ctrl-C")}
    assert main("study", str(file), "--spool", "spool", "--redo")[0] == 130
    code, out, _ = main("study", str(file), "--spool", "spool")
    assert (code, worker.count) == (0, 4 + 3 + 2)
    assert out.splitlines()[0] == "s.2: 2 cells: 1 done, 1 missing"
    studies = [json.loads(path.read_text())["session"]["study"] for path in Path("spool").glob("*.json")]
    assert sorted(studies) == ["s"] * 4 + ["s.2"] * 4


@pytest.mark.medium
def test_several_files_share_their_sessions(main: Main, worker: standins.Worker, tmp_path: Path) -> None:
    files = [str(write(tmp_path, CELLS, name)) for name in ("one.yaml", "two.yaml")]
    code, out, _ = main("study", *files, "--spool", "spool")
    assert (code, worker.count) == (0, 4)
    assert out.splitlines()[-2:] == ["two: 2 cells: 2 done", "  done      2 cells, 4 sessions"]


@pytest.mark.medium
def test_no_session_begins_that_would_end_after_the_time_limit(
    main: Main, worker: standins.Worker, tmp_path: Path
) -> None:
    def slow(found: dict[str, Any]) -> None:
        found["cost_s"].update(total=100.0)

    worker.fates = {0: slow}
    code, out, err = main("study", str(write(tmp_path, CELLS)), "--spool", "spool", "--minutes", "1")
    assert (code, worker.count) == (30, 1)
    assert out.splitlines().count("s: 2 cells: 2 missing") == 2
    assert err.splitlines()[-1] == "error: 3 sessions are missing at the time limit: run the same command again"


@pytest.mark.medium
def test_a_redo_that_is_not_complete_is_continued_without_the_option(
    main: Main, worker: standins.Worker, tmp_path: Path
) -> None:
    file = str(write(tmp_path, CELLS))
    main("study", file, "--spool", "spool")
    code, _, err = main("study", file, "--spool", "spool", "--redo", "--minutes", "0.2")
    assert (code, worker.count) == (30, 4)
    wanted = "4 sessions are missing at the time limit: run the same command without --redo, which would begin anew"
    assert err.splitlines()[-1] == f"error: {wanted}"


def test_two_studies_of_one_name_are_refused(main: Main, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    files = [str(write(folder, CELLS)) for folder in (tmp_path, tmp_path / "other")]
    code, _, err = main("study", *files, "--spool", "spool")
    assert (code, err) == (
        11,
        "error: 2 of these files declare a study s: give each the key name, or name one file\n",
    )


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "99999999"])
def test_a_time_limit_must_be_a_time(main: Main, tmp_path: Path, minutes: str) -> None:
    code, _, err = main("study", str(write(tmp_path, CELLS)), "--minutes", minutes)
    assert code == 2
    assert "must be more than 0, and at most 10080 minutes (7 days)" in err


@pytest.mark.medium
def test_cells_of_absent_gpus_wait_and_nothing_else_is_an_error(
    main: Main, worker: standins.Worker, tmp_path: Path
) -> None:
    waiting = "matrix: {gpu: [l4, h100], model: qwen2.5-7b, ctx: 2048}"
    code, out, err = main("study", str(write(tmp_path, waiting)), "--spool", "spool")
    assert (code, worker.count) == (14, 0)
    assert "  waiting   2 cells: l4 1, h100 1" in out
    assert err == "error: nothing to measure here: the study's cells wait for l4, h100\n"
    mixed = "matrix: {gpu: cpu, model: tiny, ctx: 64}\ninclude: [{gpu: l4, model: qwen2.5-7b, ctx: 2048}]"
    assert main("study", str(write(tmp_path, mixed, "mixed.yaml")), "--spool", "spool")[0] == 0


@pytest.mark.medium
def test_a_store_that_is_away_is_reported_at_the_end(main: Main, worker: standins.Worker, tmp_path: Path) -> None:
    worker.fates = {0: lambda _found: StoreUnreachable("no answer; the record is kept")}
    code, _, err = main("study", str(write(tmp_path, CELLS)), "--spool", "spool")
    assert (code, worker.count) == (21, 4)
    assert err.splitlines()[-1] == "error: no answer; the record is kept"


@pytest.mark.medium
def test_a_session_that_the_limit_stops_is_measured_by_the_next_command(
    main: Main, worker: standins.Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        time.sleep(0.3)
        raise Terminated("the time limit, --minutes 0.17, is over")

    monkeypatch.setattr(cellseries, "run_session", stopped)
    monkeypatch.setattr("runner.processes.signals.explain", lambda _cause: None)
    monkeypatch.setattr(os, "kill", lambda *_: None)
    code, _, err = main("study", str(write(tmp_path, CELLS)), "--spool", "spool", "--minutes", "0.17")
    assert code == 30
    assert "4 sessions are missing at the time limit" in err
    monkeypatch.setattr(cellseries, "run_session", worker)
    assert main("study", str(tmp_path / "s.yaml"), "--spool", "spool")[0] == 0


@pytest.mark.medium
def test_a_time_limit_that_ends_the_wait_for_another_study_is_no_failure(
    main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminated(seconds: float, cause: str) -> AbstractContextManager[None]:
        raise Terminated(f"{cause} after {seconds:g} s")

    monkeypatch.setattr("runner.processes.signals.terminated_after", terminated)
    code, _, err = main("study", str(write(tmp_path, CELLS)), "--spool", "spool", "--minutes", "0.1")
    assert (code, err) == (
        30,
        "error: the time limit, --minutes 0.1, is over after 0 s: run the same command again\n",
    )


@pytest.fixture
def mlflow_run(tmp_path: Path, empty_sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Run]:
    """A run that MLflow made for the command, in a store of its own. Returns it as it is now."""
    from mlflow import MlflowClient

    shutil.copyfile(empty_sqlite, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = MlflowClient(tracking_uri=uri)  # another test may have set MLflow's own default
    run_id = client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setattr(parentwatch, "watch_ancestors", lambda _: None)
    return lambda: client.get_run(run_id)


@pytest.mark.slow
def test_the_run_of_mlflow_is_the_studys_and_each_session_has_its_own(
    main: Main,
    worker: standins.Worker,
    tmp_path: Path,
    mlflow_run: Callable[[], Run],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[Settings] = []

    def run_session(*arguments: Any) -> Finished:
        given.append(arguments[-1])
        return worker(*arguments)

    monkeypatch.setattr(cellseries, "run_session", run_session)
    code, _, err = main("study", str(write(tmp_path, CELLS)))
    assert code == 0, err
    assert [settings.run for settings in given] == [None] * 4
    assert all(settings.commit is not None for settings in given)
    run = mlflow_run()
    assert (run.info.run_name, run.info.status, run.data.tags["study"]) == ("study s", "FINISHED", "s")
    assert run.data.metrics == {"study/entries": 2.0, "study/entries_done": 2.0, "study/sessions_done": 4.0}
    assert "s: 2 cells: 2 done" in run.data.tags["mlflow.note.content"]


@pytest.mark.slow
def test_an_incomplete_study_closes_the_run_of_mlflow_with_its_reason(
    main: Main, worker: standins.Worker, tmp_path: Path, mlflow_run: Callable[[], Run]
) -> None:
    worker.fates = {0: standins.fail}
    code, _, err = main("study", str(write(tmp_path, CELLS)))
    assert code == 30, err
    run = mlflow_run()
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", "study-incomplete")


@pytest.mark.medium
def test_two_commands_do_not_share_a_spool_on_a_shared_host(
    main: Main, worker: standins.Worker, tmp_path: Path
) -> None:
    file = write(tmp_path, CELLS)
    with studystate.exclusive(Path("spool")):
        code, _, err = main("study", str(file), "--spool", "spool", "--share-host")
    assert (code, worker.count) == (11, 0)
    assert "another process measures studies in this spool" in err
    assert main("study", str(file), "--spool", "spool", "--share-host")[0] == 0


@pytest.mark.medium
def test_ctrl_c_says_how_to_continue(main: Main, worker: standins.Worker, tmp_path: Path) -> None:
    file = write(tmp_path, CELLS)
    worker.fates = {0: Interrupted("stopped by Ctrl-C"), 1: Interrupted("stopped by Ctrl-C")}
    assert main("study", str(file), "--spool", "spool")[2].endswith("by Ctrl-C; the same command continues\n")
    said = main("study", str(file), "--spool", "spool", "--redo")[2]
    assert said.endswith("by Ctrl-C; the same command without --redo continues\n")


@pytest.mark.medium
def test_weights_that_cannot_be_read_fail_their_cells_alone(
    main: Main, worker: standins.Worker, tmp_path: Path
) -> None:
    text = CELLS.replace("cache: static", "cache: static, weights: [synthetic, ./no-such-folder]")
    code, out, _ = main("study", str(write(tmp_path, text)), "--spool", "spool")
    assert (code, worker.count) == (30, 4)
    assert "s: 4 cells: 2 done, 2 failed" in out
    assert "failed: " in out


@pytest.mark.whole
@pytest.mark.slow
def test_a_second_study_on_the_host_waits_for_the_first(tmp_path: Path) -> None:
    """Two processes with one spool: the second finds everything measured."""
    file = write(tmp_path, "sessions: 1\nmatrix: {gpu: cpu, model: tiny, ctx: 32, steps: 3, warmup: 1}")
    command = [sys.executable, "-m", "runner", "study", str(file), "--spool", str(tmp_path / "spool")]
    environment = {**os.environ, "DECODE_FLOOR_LOCK_DIR": str(tmp_path / "lock")}
    first = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    assert first.stdout.readline() == "s: 1 cell: 1 missing\n"
    second = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    out, err = first.communicate(timeout=300)
    assert (first.returncode, second.returncode) == (0, 0), (out, err, second.stderr)
    assert "waiting for another study on this host (pid" in second.stderr
    assert second.stdout.splitlines()[0] == "s: 1 cell: 1 done"
    assert len(list((tmp_path / "spool").glob("*.json"))) == 1


@pytest.mark.whole
@pytest.mark.slow
def test_a_killed_study_continues_with_its_records(tmp_path: Path) -> None:
    """A real session, SIGKILL during the next one, and the same command again."""
    file = write(tmp_path, "sessions: 2\nmatrix: {gpu: cpu, model: tiny, ctx: 32, steps: 3, warmup: 1}")
    command = [sys.executable, "-m", "runner", "study", str(file), "--spool", str(tmp_path / "spool")]
    environment = {**os.environ, "DECODE_FLOOR_LOCK_DIR": str(tmp_path / "lock")}
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    begun = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=null, text=True)
    assert begun.stdout is not None
    assert any(line.startswith("1  tiny 32") for line in begun.stdout)
    begun.kill()
    begun.communicate()
    (record,) = (tmp_path / "spool").glob("*.json")
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].startswith("  missing   1 cell on cpu: 1 session, about ")
    assert len(list((tmp_path / "spool").glob("*.json"))) == 2
    assert record.exists()


TURNS = """
    sessions: 2
    order: interleaved
    matrix: {gpu: cpu, model: tiny, ctx: [64, 128], cache: static}
"""


@pytest.mark.medium
def test_an_interleaved_study_measures_its_cells_in_turns_also_after_an_interruption(
    main: Main, worker: standins.Worker, tmp_path: Path
) -> None:
    file = write(tmp_path, TURNS)
    worker.fates = {3: Interrupted("stopped by Ctrl-C")}
    code, out, _ = main("study", str(file), "--spool", "spool")
    assert (code, _measured_ctx(out)) == (130, ["64", "128", "64"])
    code, out, _ = main("study", str(file), "--spool", "spool")
    assert (code, _measured_ctx(out)) == (0, ["128"])


def _measured_ctx(out: str) -> list[str]:
    return re.findall(r"^\d+  tiny (\d+) ", out, re.MULTILINE)
