"""Sessions with a chosen number of windows on this machine's CPU, as a user runs them: measured, verified, stored,
continued, and in the tables."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import SMALL_CACHE

pytestmark = pytest.mark.slow
CELL = ("--gpu", "cpu", "--model", "tiny", "--ctx", "32", "--cache", "static")
COUNTS = ("--protocol", "tail-long", "--steps", "20", "--warmup", "1", "--windows", "12")
TITLE = "custom-1-12x20"


def run(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": SMALL_CACHE, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose store has one session."""
    folder: Path = tmp_path_factory.mktemp("windows")
    run(folder, "runner", "cell", *CELL, *COUNTS)
    return folder


def test_the_record_has_the_windows_and_the_request(folder: Path) -> None:
    (path,) = (folder / "spool").glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    assert found["valid"], found["reasons"]
    assert (found["request"]["protocol"], found["request"]["windows"]) == ("tail-long", "12")
    assert found["protocol"] == {"name": "custom", "warmup": 1, "steps": 20, "windows": 12}
    assert [len(window) for window in found["passes"]["wall"]["windows_us"]] == [20] * 12
    assert run(folder, "runner", "verify", "spool").stdout == "ok 1 record\n"


def test_a_forged_number_of_windows_is_named(folder: Path, tmp_path: Path) -> None:
    (path,) = (folder / "spool").glob("*.json")
    found = json.loads(path.read_text())
    found["request"]["windows"] = "20"
    (tmp_path / path.name).write_text(json.dumps(found))
    said = run(tmp_path, "runner", "verify", ".", code=24)
    assert "protocol.windows: 12, but the requested one is 20" in said.stdout + said.stderr
    del found["passes"]["wall"]["windows_us"][3]
    (tmp_path / path.name).write_text(json.dumps(found))
    said = run(tmp_path, "runner", "verify", ".", code=24)
    assert "passes.wall.windows_us: 11 windows, the protocol says 12" in said.stdout + said.stderr


def test_store_and_tables_show_the_protocol_by_its_counts(folder: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (session,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    params = {name: session.data.params[f"protocol.{name}"] for name in ("name", "warmup", "steps", "windows")}
    assert params == {"name": "custom", "warmup": "1", "steps": "20", "windows": "12"}
    assert len(client.get_metric_history(session.info.run_id, "latency/step_wall_series_ms")) == 12 * 20
    for source in ((), ("--records", "spool")):
        (row,) = json.loads(run(folder, "analysis", "floor", *source, "--format", "json").stdout)
        assert row["protocol"] == TITLE
        (line,) = csv.DictReader(run(folder, "analysis", "floor", *source, "--format", "csv").stdout.splitlines())
        assert line["protocol"] == TITLE


def test_what_choose_advises_for_its_tail_is_a_request_for_more_windows(folder: Path) -> None:
    limits = ("--gpu", "cpu", "--model", "tiny", "--ctx", "32", "--deadline-ms", "60000", "--miss", "0.001")
    said = run(folder, "analysis", "choose", *limits, "--format", "json", code=29)
    (row,) = (each for each in json.loads(said.stdout) if each["protocol"] == TITLE)
    assert (row["chunks"], row["missed"], row["sessions"]) == (240, 0, 1)
    command = said.stderr.partition("`python -m runner cell ")[2].partition("`")[0].split()
    assert command[:3] == ["--protocol", "tail-long", "--windows"]
    steps = 300 * int(command[3]) / max(2, row["tau"])
    assert 1 - 0.05 ** (1 / steps) <= 0.001  # of so many independent steps, none late


@pytest.mark.whole
def test_a_study_measures_each_number_of_windows_and_continues(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "sessions: 1\nprotocol: tail-long\n"
        "matrix: {gpu: cpu, model: tiny, ctx: 32, cache: static, steps: 10, warmup: 1, windows: [3, 4]}\n"
    )
    study = ("runner", "study", "s.yaml", "--spool", "spool")
    assert "s: 2 cells: 2 done" in run(tmp_path, *study).stdout
    records = [json.loads(path.read_text()) for path in (tmp_path / "spool").glob("*.json")]
    assert sorted(each["protocol"]["windows"] for each in records) == [3, 4]
    text = (tmp_path / "s.yaml").read_text()
    (tmp_path / "s.yaml").write_text(text.replace("[3, 4]", "[3, 4, 400]"))
    planned = run(tmp_path, *study, "--dry-run").stdout
    assert "s: 3 cells: 2 done, 1 missing" in planned
    assert "1 session, time unknown" in planned  # those of fewer windows tell nothing about it
    assert [line.split()[0] for line in planned.splitlines() if line.endswith("x10")] == ["done", "done", "missing"]
    assert "tiny 32 bf16 eager static cpu custom-1-400x10" in planned
