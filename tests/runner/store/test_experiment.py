"""Experiment of the runs: which one it is, its description and its views, in a real store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner import store
from runner.record import record
from runner.store.experiment import Experiments
from tests.runner.store import contents
from tests.support.derive import typed
from tests.support.records import example_record

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_the_embedded_store_is_made_in_the_working_folder_and_described(tmp_path: Path) -> None:
    views_prefix = "mlflow.sharedViewState."
    record.write(example_record(), tmp_path / "one.json")
    imports = "from pathlib import Path; from runner import store; from runner.record import written"
    # in a process of its own: MLflow keeps one store a URI, and another test may have had its own of the relative one
    command = (sys.executable, "-c", f"{imports}; store.commit(written.read(Path('one.json')), None)")
    subprocess.run(command, env={"PYTHONPATH": str(ROOT), "PATH": ""}, cwd=tmp_path, check=True)
    assert (tmp_path / "mlflow.db").exists()
    experiment = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db").get_experiment_by_name("decode-floor")
    assert experiment is not None
    assert "mean of its sessions" in experiment.tags["mlflow.note.content"]
    saved = {name: json.loads(text) for name, text in experiment.tags.items() if name.startswith(views_prefix)}
    names = ["A/B", "Cells: mean of sessions (tables use medians)", "Failed", "Sessions"]
    assert sorted(view["name"] for view in saved.values()) == names


@pytest.mark.medium
def test_the_experiment_is_that_of_the_environment(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = MlflowClient(tracking_uri=sqlite_uri).create_experiment("given")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", given)
    store.commit(typed(example_record()), None)
    assert [run.info.experiment_id for run in contents.runs(sqlite_uri)] == [given]


@pytest.mark.medium
def test_what_someone_wrote_about_the_experiment_stays(sqlite_uri: str) -> None:
    client = MlflowClient(tracking_uri=sqlite_uri)
    made = client.create_experiment("decode-floor", tags={"mlflow.note.content": "mine"})
    store.commit(typed(example_record()), None)
    tags = client.get_experiment(made).tags
    assert tags["mlflow.note.content"] == "mine"
    assert "mlflow.sharedViewState.cells" in tags


@pytest.mark.medium
def test_the_experiment_where_mlflow_put_its_run_gets_the_views_too(sqlite_uri: str) -> None:
    # a plain `mlflow run .` puts it into MLflow's own, called Default
    client = MlflowClient(tracking_uri=sqlite_uri)
    run_id = client.create_run("0").info.run_id
    assert store.commit(typed(example_record()), run_id) == run_id
    assert "mlflow.sharedViewState.cells" in client.get_experiment("0").tags
    assert "mean of its sessions" in client.get_experiment("0").tags["mlflow.note.content"]
    # and no other experiment was made beside it
    assert [each.name for each in client.search_experiments()] == ["Default"]
    address = "http://127.0.0.1:5000/#/experiments/0/runs?viewStateShareKey=sessions&workflowType=machine_learning"
    assert store.view_addresses("http://127.0.0.1:5000") == [("Default", address)]


@pytest.mark.medium
def test_views_of_an_older_version_are_replaced(sqlite_uri: str) -> None:
    client = MlflowClient(tracking_uri=sqlite_uri)
    made = client.create_experiment("decode-floor", tags={"mlflow.sharedViewState.cells": "older"})
    store.commit(typed(example_record()), None)
    saved = json.loads(json.loads(client.get_experiment(made).tags["mlflow.sharedViewState.cells"])["state"])
    assert saved["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "group"}]


@pytest.mark.medium
def test_a_session_is_found_in_an_experiment_that_was_renamed(
    sqlite_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(2):
        measured = example_record(session={"id": f"session-{index}", "index": index})
        record.write(measured, tmp_path / "spool" / f"{index}.json")
    first = store.import_folder(tmp_path / "spool")
    client = MlflowClient(sqlite_uri)
    client.rename_experiment(client.get_run(first.imported[0]).info.experiment_id, "renamed")
    assert store.import_folder(tmp_path / "spool").present == first.imported
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")  # whoever names one wants them there
    assert len(store.import_folder(tmp_path / "spool").imported) == 2


@pytest.mark.medium
def test_each_fact_is_read_once_and_an_experiment_made_meanwhile_is_searched(
    sqlite_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(tracking_uri=sqlite_uri)
    calls: list[str] = []
    for name in ("get_experiment_by_name", "search_experiments", "get_experiment", "create_experiment"):
        real = getattr(client, name)
        monkeypatch.setattr(client, name, lambda *given, name=name, real=real: calls.append(name) or real(*given))
    experiments = Experiments(client)
    assert experiments.candidate_ids() == ["0"]
    made = experiments.home
    for _ in range(2):
        assert experiments.home == made
        assert experiments.candidate_ids() == [made, "0"]
        experiments.describe(made)
    assert sorted(calls) == ["create_experiment", "get_experiment", "get_experiment_by_name", "search_experiments"]
    assert Experiments(client).candidate_ids() == [made, "0"]
