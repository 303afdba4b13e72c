"""A store that cannot be reached or takes no more: one line, soon, without passwords, and the record stays."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from mlflow import MlflowClient

from runner import store
from runner.errors import DecodeFloorError, DiskFull, MissingPackage, StoreUnreachable
from runner.processes import signals
from runner.record import record
from runner.store import connection
from tests.runner.store import contents
from tests.support.derive import typed
from tests.support.records import example_record
from tests.support.stores import free_port

SOON_S = 20  # MLflow by itself takes four minutes


@pytest.fixture
def spooled(tmp_path: Path) -> Path:
    path = tmp_path / "spool" / "session.json"
    record.write(example_record(), path)
    return path


def _refusal(spooled: Path) -> tuple[DecodeFloorError, float]:
    started = time.monotonic()
    with pytest.raises(DecodeFloorError) as caught:
        store.commit(typed(record.read(spooled)), None, spooled)
    return caught.value, time.monotonic() - started


@pytest.mark.medium
@pytest.mark.parametrize("scheme", ["http://tester:se%40cret@", "postgresql://tester:se%40cret@"])
def test_a_dead_server_is_one_line_that_names_the_import(
    scheme: str, spooled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}127.0.0.1:{port}/db")
    error, seconds = _refusal(spooled)
    text = str(error)
    assert isinstance(error, StoreUnreachable)
    assert "\n" not in text
    assert f"{scheme.partition('://')[0]}://tester:***@127.0.0.1:{port}" in text
    assert "refused" in text
    assert f"python -m runner import {spooled.parent}" in text
    assert "cret" not in text
    assert seconds < SOON_S
    assert spooled.exists()


@pytest.mark.slow
def test_a_server_that_accepts_and_never_answers_is_given_up(spooled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # the user's own value is kept
        error, seconds = _refusal(spooled)
    assert isinstance(error, StoreUnreachable)
    # three attempts of 1 s, and the pauses between them
    assert 3 <= seconds < SOON_S


@pytest.mark.slow
def test_a_wrong_password_is_one_line_without_it(
    postgresql_uri: str, spooled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgresql_uri.replace("se%40cret", "guess"))
    error, _ = _refusal(spooled)
    assert "password authentication failed" in str(error)
    assert "guess" not in str(error)


def test_a_file_that_is_no_database_is_one_line(spooled: Path, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database\n" * 100)
    error, seconds = _refusal(spooled)
    assert "sqlite:///mlflow.db" in str(error)
    assert "file is not a database" in str(error)
    assert seconds < SOON_S


def test_a_driver_that_is_not_installed_is_named(spooled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mssql+pymssql://127.0.0.1/db")
    error, _ = _refusal(spooled)
    assert isinstance(error, MissingPackage)
    assert "pymssql" in str(error)


@pytest.fixture
def full_database() -> Iterator[None]:
    """SQLite databases that may not grow: what SQLite itself says is what it says on a full disk."""

    def forbid_growth(connection: Any, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # SQLite raises this to the present size

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", forbid_growth)
    yield
    sqlalchemy.event.remove(sqlalchemy.Engine, "connect", forbid_growth)


@pytest.mark.medium
@pytest.mark.usefixtures("sqlite_uri", "full_database")
def test_a_database_on_a_full_disk_is_disk_full(spooled: Path, capfd: pytest.CaptureFixture[str]) -> None:
    error, seconds = _refusal(spooled)
    assert isinstance(error, DiskFull)
    assert capfd.readouterr().err == ""  # MLflow's log has the traceback
    assert f"python -m runner import {spooled.parent}" in str(error)
    assert seconds < SOON_S


@pytest.mark.medium
def test_artifacts_on_a_full_disk_are_disk_full_and_imported_later(
    sqlite_uri: str, spooled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifacts", full)
        error, _ = _refusal(spooled)
    assert isinstance(error, DiskFull)
    # nobody works on it any more
    assert contents.session_run(sqlite_uri, "0f3c9a52b7d1e846").info.status == "FAILED"
    store.import_folder(spooled.parent)
    assert contents.session_run(sqlite_uri, "0f3c9a52b7d1e846").info.status == "FINISHED"


def test_signals_are_held_while_a_client_is_made(tmp_path: Path) -> None:
    """MLflow's mapping of tables fails for the rest of the process if an error leaves it half done."""
    held: list[bool] = []

    def make(tracking_uri: str) -> Any:
        assert tracking_uri.endswith("mlflow.db")
        held.append(signals._State.holds > 0)

    connection._client(make, f"sqlite:///{tmp_path}/mlflow.db")  # type: ignore[arg-type]
    assert held == [True]
    assert signals._State.holds == 0
