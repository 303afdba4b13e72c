"""The summary run that MLflow made: only its own A/B is asked for, and whatever ends the command closes the run."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from analysis import publish
from runner.record.sidecar import remember_run
from tests.support.commands import called, command
from tests.support.makefile import recipe

ROOT = Path(__file__).parents[2]
AB = next((ROOT / "experiments" / "records" / "h200").glob("ab-qwen2.5-7b-16384-eager-graph-*"))


NOTE = """\
**FASTER**: eager / graph = **1.727**, interval 1.622–2.682 (93.75 %)

b is faster than a by more than 1 %, as all of [1.622, 2.682] lies above 1.01

| | a: eager | b: graph |
|---|---|---|
| ms/step, median of 5 | 26.281 | 15.222 |
| spread (CV) of the sessions | 24.30 % | 0.40 % |
| kernels per step | 1542 | 1543 |

flags: `drifting`, `gate-1`, `passes-disagree` (docs/flags.md)

The artifact `summary.md` has the whole row, `sessions.png` a figure of the sessions.
"""
"""Page of the committed A/B's run."""


@pytest.fixture
def client(empty_sqlite, tmp_path, monkeypatch):
    shutil.copy(empty_sqlite, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(uri)


@pytest.fixture
def run_id(client):
    return client.create_run("0").info.run_id


@pytest.fixture
def spool(tmp_path, run_id):
    """With the committed A/B as measured under the run."""
    folder = tmp_path / "spool"
    shutil.copytree(AB, folder / AB.name)
    remember_run(folder / AB.name / "ab.json", run_id)
    return folder


def started(spool, run_id):
    arguments = [sys.executable, "-m", "analysis", "ab", str(spool), "--run", run_id, "--commit"]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(spool, run_id):
    done = command("ab", str(spool), "--run", run_id, "--commit")
    return done.returncode, done.stderr


def damage(folder):
    path = folder / "ab.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "seed": 7}))


def test_a_missing_folder_is_not_made_for_a_marker(tmp_path, monkeypatch):
    monkeypatch.setattr(publish.store.EntryRun, "fail", lambda *_: None)
    with pytest.raises(KeyError), publish.closing(tmp_path / "nope", "0" * 32):
        raise KeyError
    assert not (tmp_path / "nope").exists()


@pytest.mark.slow
def test_another_damaged_ab_in_the_spool_is_not_this_runs_business(spool, client, run_id):
    shutil.copytree(AB, spool / "another")
    damage(spool / "another")
    assert finished(spool, run_id)[0] == 0
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["verdict"]) == ("FINISHED", "FASTER")
    assert run.data.tags["mlflow.note.content"] == NOTE
    assert list(spool.glob(".runs/*")) == []


@pytest.mark.slow
def test_the_demo_logs_ratio_interval_and_verdict_of_its_abs(spool, client):
    steps = [line.partition("python -m ")[2] for line in recipe("demo") if "experiments/records" in line]
    assert [step.split()[:2] for step in steps] == [["runner", "import"], ["analysis", "ab"]]
    for step in steps:
        line = f"{sys.executable} -m {step.replace('experiments/records', str(spool))}"
        done = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    (run,) = client.search_runs(["0", "1"], "tags.ab LIKE '%'")
    assert run.data.metrics["ab/ratio_low"] < run.data.metrics["ab/ratio"] < run.data.metrics["ab/ratio_high"]
    assert run.data.tags["verdict"] == "FASTER"


@pytest.mark.slow
def test_what_is_wrong_with_its_own_closes_the_run_with_the_reason_until_it_is_mended(spool, client, run_id):
    manifest = spool / AB.name / "ab.json"
    whole = manifest.read_text()
    damage(manifest.parent)
    code, errors = finished(spool, run_id)
    assert code == 24
    assert errors.splitlines()[-1].startswith("error: files or runs are left out of the table")
    run = client.get_run(run_id)
    assert run.info.status == "FAILED"
    assert (run.data.tags["reason"], run.data.tags["exit_code"]) == ("bad-record", "24")
    assert list(spool.glob(".runs/*")) == []

    manifest.write_text(whole)
    assert finished(spool, run_id)[0] == 0
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert (run.data.tags["reason"], run.data.tags["exit_code"], run.data.tags["valid"]) == ("", "0", "true")


@pytest.mark.slow
def test_a_run_under_which_nothing_was_measured_is_told(spool, client):
    other = client.create_run("0").info.run_id
    code, errors = finished(spool, other)
    assert code == 24
    assert errors.splitlines()[-1] == (
        f"error: no A/B in the spool was measured under run {other}: name the spool that its `ab` entry wrote"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, "KILLED"), (signal.SIGKILL, "RUNNING")])
def test_a_killed_summary_leaves_a_closed_run_or_a_marker_for_the_import(spool, client, run_id, number, status):
    process = started(spool, run_id)
    until = time.monotonic() + 300
    while not (spool / ".runs" / run_id).exists() and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=300)
    assert process.returncode != 0
    assert client.get_run(run_id).info.status == status
    assert bool(list(spool.glob(".runs/*"))) == (status == "RUNNING")
    if status == "RUNNING":
        imported = called("runner", "import", str(spool), folder=ROOT)
        assert imported.returncode == 0, imported.stderr
        assert client.get_run(run_id).info.status == "FINISHED"
        assert client.get_run(run_id).data.tags["ab"]
        assert list(spool.glob(".runs/*")) == []
