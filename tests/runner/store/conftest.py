"""Stores of each test's own, in a clean environment."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.store import connection

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every test works in a folder of its own and sets what it needs of MLflow's variables itself."""
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "PGCONNECT"))]:
        monkeypatch.delenv(name)
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"):
        monkeypatch.setenv(name, "1")  # so that what `opened` sets by default is undone as well
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    # a server in the process of a test sets the address of MLflow's own functions for all that come after it
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", None)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sqlite_uri(tmp_path: Path, empty_sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The embedded store in the working folder, already made."""
    shutil.copy(empty_sqlite, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture(params=["sqlite_uri", "http_uri", "postgresql_uri"])
def any_uri(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each kind of store in turn, as MLFLOW_TRACKING_URI, with an experiment of the test's own in it."""
    uri = str(request.getfixturevalue(request.param))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", f"test-{time.time_ns()}")
    return uri


@pytest.fixture
def client(sqlite_uri: str) -> Iterator[MlflowClient]:
    """The client of that store, as every command of ours opens it."""
    with connection.opened(None) as opened:
        assert opened.tracking_uri == sqlite_uri
        yield opened
