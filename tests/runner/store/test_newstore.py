"""The SQLite file of a new store: whole, or not there."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner import store
from runner.record import record
from runner.store import connection, newstore
from tests.support.records import example_record
from tests.support.stores import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlflow.db", "100%25 ä.db"])
def test_a_new_store_is_there_as_a_whole_with_its_artifacts_beside_it(tmp_path: Path, name: str) -> None:
    uri = f"sqlite:///{tmp_path}/{name}"
    with connection.opened(uri=uri) as client:
        (default,) = client.search_experiments()
    assert default.artifact_location == f"{tmp_path.as_uri()}/mlruns/0"
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []
    with connection.opened(uri=uri) as again:
        assert len(again.search_experiments()) == 1


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_makes_a_store_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed after the first tables, before MLflow's migrations."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    code = "import os, signal; from mlflow.store.db import utils; from runner.store import connection; "
    code += "utils._upgrade_db = lambda _engine: os.kill(os.getpid(), signal.SIGKILL); "
    code += "connection.opened().__enter__()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "mlflow.db").exists()
    assert (tmp_path / ".mlflow.db.part").exists()
    record.write(example_record(), tmp_path / "spool" / "session.json")
    assert len(store.import_folder(tmp_path / "spool").imported) == 1
    assert not (tmp_path / ".mlflow.db.part").exists()


def test_a_store_that_exists_stays_as_it_is(sqlite_uri: str, tmp_path: Path) -> None:
    before = (tmp_path / "mlflow.db").read_bytes()
    newstore.make(sqlite_uri)
    assert (tmp_path / "mlflow.db").read_bytes() == before


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "postgresql://me@127.0.0.1:9/x", "sqlite://"])
def test_other_stores_are_not_made_here(uri: str, tmp_path: Path) -> None:
    newstore.make(uri)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.medium
def test_a_failure_leaves_no_part_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.store.db import utils

    def fail(_engine: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(utils, "_upgrade_db", fail)
    with pytest.raises(sqlite3.OperationalError):
        newstore.make(f"sqlite:///{tmp_path}/mlflow.db")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert len(MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_experiments()) == 1
