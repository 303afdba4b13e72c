"""Whole A/Bs on this machine's CPU, as a user runs them: killed, gone on with, compared, imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runner.store import saved_views
from tests.support.processes import SMALL_CACHE

ROOT = Path(__file__).resolve().parents[3]
TINY = ("--gpu", "cpu", "--model", "tiny", "--ctx", "64")


def environment(folder: Path) -> dict[str, str]:
    uri = f"sqlite:///{folder}/mlflow.db"
    return {**os.environ, "PYTHONPATH": SMALL_CACHE, "MLFLOW_TRACKING_URI": uri}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=300, check=False
    )


def runs(folder: Path, chosen: str = "") -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return list(client.search_runs([each.experiment_id for each in client.search_experiments()], chosen))


@pytest.mark.whole
@pytest.mark.slow
def test_dynamic_against_static_is_measured_killed_gone_on_with_compared_and_imported(tmp_path: Path) -> None:
    ab = ("runner", "ab", "--field", "cache", "--a", "dynamic", "--b", "static", *TINY, "--spool", "spool")
    command = [sys.executable, "-m", *ab, "--sessions", "5"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "A/B dynamic/static tiny 64 bf16 eager cpu\n"
    assert next(line for line in process.stdout if line[0] != " ").startswith("a 1/5  dynamic")
    time.sleep(1.5)  # inside the second session
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = run(tmp_path, *ab, "--sessions", "5")
    assert finished.returncode == 0, finished.stderr
    assert "  sessions  5 of each arm, alternating, each in a fresh process; 9 of 10 are missing\n" in finished.stdout
    assert next(line for line in finished.stdout.splitlines()[1:] if line[0] != " ").startswith("b 1/5  static")
    assert "left, about" in finished.stdout
    (folder,) = (tmp_path / "spool").glob("ab-*")
    found = json.loads((folder / "ab.json").read_text())
    assert [block["order"] for block in found["blocks"]] == ["abba", "baab", "ab"]
    assert run(tmp_path, "runner", "verify", "spool").stdout == "ok 10 records and 1 A/B manifest\n"

    compared = run(tmp_path, "analysis", "ab", "spool", "--format", "json")
    (row,) = json.loads(compared.stdout)
    assert (row["arm_a"], row["arm_b"], row["sessions"], row["interval"]) == ("dynamic", "static", 5, "ci95")
    assert row["verdict"] in ("FASTER", "SLOWER", "SAME", "AMBIGUOUS")
    assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]

    imported = run(tmp_path, "runner", "import", "spool")
    assert imported.stdout.startswith("10 records imported, 0 already there; 1 A/B manifest\n1 A/B: ")
    assert run(tmp_path, "analysis", "ab", "spool", "--commit").returncode == 0
    again = run(tmp_path, "runner", "import", "spool")
    assert again.stdout.startswith("0 records imported, 10 already there; 1 A/B manifest\n1 A/B: ")
    stored = runs(tmp_path)
    assert len(stored) == 11
    (summary,) = [each for each in stored if "ab" in each.data.tags]
    assert summary.info.status == "FINISHED"
    assert summary.data.metrics["ab/ratio"] == pytest.approx(row["ratio"])
    assert summary.data.tags["verdict"] == row["verdict"]
    known = {f"metrics.`{name}`" for name in summary.data.metrics} | {f"tags.`{name}`" for name in summary.data.tags}
    assert {*saved_views.COMPARISON_COLUMNS} <= known
    assert [each.info.run_id for each in runs(tmp_path, saved_views.IS_COMPARISON)] == [summary.info.run_id]
    assert len(runs(tmp_path, saved_views.IS_SESSION)) == 10


@pytest.mark.whole
@pytest.mark.slow
def test_an_a_a_with_a_store_ends_in_a_run_with_ratio_and_verdict(tmp_path: Path) -> None:
    finished = run(tmp_path, "runner", "ab", *TINY, "--cache", "static", "--sessions", "1")
    assert finished.returncode == 0, finished.stderr
    (summary,) = runs(tmp_path, saved_views.IS_COMPARISON)
    assert (summary.info.status, summary.data.metrics["ab/sessions"]) == ("FINISHED", 1)
    assert summary.data.metrics["ab/ratio_low"] <= summary.data.metrics["ab/ratio"]
    assert (summary.data.tags["verdict"], bool(summary.data.tags["verdict_reason"])) == ("none", True)
    assert f"MLflow run {summary.info.run_name} ({summary.info.run_id})" in finished.stderr
    assert len(runs(tmp_path, saved_views.IS_SESSION)) == 2


@pytest.mark.whole
@pytest.mark.slow
def test_an_a_a_under_mlflow_run_ends_in_its_summary_run(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    NEEDED = ("runner", "experiments", "MLproject", "python_env.yaml")

    for name in (*NEEDED, "analysis", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    parameters = ("gpu=cpu", "model=tiny", "ctx=64", "sessions=2", "cache=static", "steps=20", "windows=2")
    chosen = [part for parameter in parameters for part in ("-P", parameter)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    finished = subprocess.run(
        [sys.executable, "-m", "mlflow", "run", ".", "-e", "ab", "--env-manager", "local", "--run-name", "X", *chosen],
        cwd=tmp_path,
        env={**environment(tmp_path), "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    stored = runs(tmp_path)
    assert [each.info.status for each in stored] == ["FINISHED"] * 5
    (summary,) = [each for each in stored if "ab" in each.data.tags]
    assert summary.info.run_name == "X"  # the name that was given stays, and ours is a tag
    assert summary.data.tags["cell"].startswith("A/A tiny 64")
    assert summary.data.tags["verdict"] == "none"  # below five sessions
    assert summary.data.tags["verdict_reason"]
    assert summary.data.metrics["ab/sessions"] == 2
    measured = [each.data for each in stored if "ab" not in each.data.tags]
    assert {(each.params["protocol.steps"], each.params["protocol.windows"]) for each in measured} == {("20", "2")}
    sessions = [each.metrics["latency/step_wall_ms"] for each in measured]
    assert min(sessions) / max(sessions) <= summary.data.metrics["ab/ratio"] <= max(sessions) / min(sessions)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    names = {each.path for each in client.list_artifacts(summary.info.run_id)}
    assert names == {"ab.json", "summary.json", "summary.md", "sessions.svg"}
    assert list((tmp_path / "spool").glob(".runs/*")) == []
