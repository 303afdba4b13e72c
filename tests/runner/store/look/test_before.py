"""The look at a store before anything is measured: each thing that is wrong is one line, with what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner import store
from runner.errors import BadValue, StoreUnreachable
from runner.record import record
from runner.store import address
from tests.runner.store import contents
from tests.support.derive import typed
from tests.support.looks import answering, refusal
from tests.support.processes import ROOT
from tests.support.records import example_record
from tests.support.stores import free_port


@pytest.mark.slow
def test_a_store_that_is_fine_or_not_there_yet_is_told_nothing_of(any_uri: str) -> None:
    assert store.before_measuring(None) is None
    client = MlflowClient(any_uri)
    run = client.create_run(client.create_experiment(address.experiment_name()))
    assert store.before_measuring(run.info.run_id) is None
    client.set_terminated(run.info.run_id)


@pytest.mark.medium
def test_the_look_makes_no_store_and_imports_no_mlflow(tmp_path: Path) -> None:
    code = "import sys; from runner import store; print(store.before_measuring(None), 'mlflow' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "None False\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "uri", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"]
)
def test_a_database_in_memory_keeps_nothing(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert refusal(kind=BadValue) == (
        f"{uri} is a database in memory, which ends with the command: set MLFLOW_TRACKING_URI to sqlite:///FILE"
    )


@pytest.mark.medium
def test_a_deleted_experiment_is_named_with_the_command_that_restores_it(
    any_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(any_uri)
    experiment_id = client.create_experiment(address.experiment_name())
    client.delete_experiment(experiment_id)
    restore = f"`mlflow experiments restore --experiment-id {experiment_id}`"
    said = refusal()
    assert f"experiment {address.experiment_name()} (id {experiment_id})" in said
    assert f"is deleted: restore it with {restore}, or set MLFLOW_EXPERIMENT_NAME" in said
    assert "cret" not in said
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment_id)
    assert f"{restore}, or unset MLFLOW_EXPERIMENT_ID" in refusal()
    client.restore_experiment(experiment_id)
    assert store.before_measuring(None) is None


@pytest.mark.parametrize("unknown", ["999999", "abc"])
def test_an_experiment_id_that_is_not_there_is_named(
    any_uri: str, unknown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", unknown)
    said = refusal()
    assert said.startswith(
        f"MLFLOW_EXPERIMENT_ID={unknown}: the MLflow store {address.masked_uri(any_uri)} has no such"
    )


@pytest.mark.medium
def test_a_run_that_is_not_there_or_deleted_is_named(any_uri: str) -> None:
    client = MlflowClient(any_uri)
    run_id = client.create_run("0").info.run_id
    client.set_terminated(run_id)
    client.delete_run(run_id)
    assert f"is deleted: restore it with `mlflow runs restore --run-id {run_id}`" in refusal(run_id)
    assert "has no such run: unset it" in refusal("0" * 32)
    assert "has no such run" in refusal("' OR 1=1 --")


def test_a_folder_that_mlflow_is_told_to_take_is_left_to_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path))
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert store.before_measuring(None) is None


@pytest.mark.medium
def test_a_server_that_is_not_there_now_keeps_nothing_from_being_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "postgresql"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://me:secret@127.0.0.1:{free_port()}/x")
        said = store.before_measuring(None)
        assert said is not None
        assert "does not answer" in said
        assert "refused" in said
        assert "secret" not in said
    with answering(503, "starting") as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert "does not answer (503" in (store.before_measuring(None) or "")


@pytest.mark.medium
def test_a_look_at_a_store_that_is_wrong_makes_no_run(sqlite_uri: str, tmp_path: Path) -> None:
    client = MlflowClient(sqlite_uri)
    client.delete_experiment(client.create_experiment(address.experiment_name()))
    for index in range(2):
        session = example_record(session={"id": f"session-{index}", "index": index})
        record.write(session, tmp_path / "spool" / f"{index}.json")
    with pytest.raises(StoreUnreachable, match=r"is deleted: .*runner import"):
        store.import_folder(tmp_path / "spool")
    with pytest.raises(StoreUnreachable, match="is deleted: restore it"):
        store.commit(typed(example_record()), None)
    assert contents.runs(sqlite_uri) == []


@pytest.mark.slow
def test_a_command_that_ends_at_the_look_measures_nothing_and_closes_the_run_with_the_reason(
    sqlite_uri: str, tmp_path: Path
) -> None:
    client = MlflowClient(sqlite_uri)
    run_id = client.create_run("0").info.run_id
    client.delete_experiment(client.create_experiment("in the trash"))
    variables = {"MLFLOW_RUN_ID": run_id, "MLFLOW_EXPERIMENT_NAME": "in the trash"}
    ended = subprocess.run(
        [sys.executable, "-m", "runner", "cell", "--gpu", "cpu", "--model", "tiny", "--ctx", "64"],
        env={**os.environ, **variables, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    error, note = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (21, "")
    assert error.startswith("error: the experiment in the trash ")
    assert note.startswith("note: this run is in MLflow's experiment Default")
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", "store-unreachable")
    assert error == f"error: {run.data.tags['message']}"
    assert list(tmp_path.glob("spool/*.json")) == []
