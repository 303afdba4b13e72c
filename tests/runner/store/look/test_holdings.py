"""Contents of real databases: nothing yet, and imported sessions."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner import store
from runner.errors import StoreUnreachable
from runner.record import record
from runner.store.look import holdings, schema
from runner.store.look.holdings import Holdings
from tests.support.records import example_record


def test_a_store_that_does_not_exist_yet_holds_nothing(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/new.db"
    assert holdings.read(uri) == Holdings(None, frozenset())
    (tmp_path / "new.db").touch()
    assert holdings.read(uri) == Holdings(None, frozenset())
    assert holdings.runs_of(uri, ["one", "other"]) == {}


def test_a_server_is_not_asked() -> None:
    assert holdings.read("http://127.0.0.1:9") is None
    assert holdings.runs_of("http://127.0.0.1:9", ["one"]) is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite_uri", "postgresql_uri"])
def test_complete_sessions_and_runs_of_sessions_are_found(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uri = str(request.getfixturevalue(kind))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    found, session = example_record(), f"{time.time_ns():016x}"
    found["session"]["id"] = session  # other tests import the example into the same PostgreSQL
    record.write(found, tmp_path / "spool" / "session.json")
    assert len(store.import_folder(tmp_path / "spool").imported) == 1
    client = MlflowClient(uri)
    unfinished = client.create_run("0", tags={"session": "not complete"}).info.run_id
    gone = client.create_run("0", tags={"session": "of a deleted run"}).info.run_id
    client.delete_run(gone)
    runs = holdings.runs_of(uri, [session, "not complete", "of a deleted run", "nobody's", "none"])
    assert runs is not None
    assert (runs.pop("not complete"), runs.pop("of a deleted run")) == ([unfinished], [gone])
    assert [*runs] == [session]
    assert holdings.runs_of(uri, []) == {}
    held = holdings.read(uri)
    here = schema.installed()
    assert held is not None
    assert here is not None
    assert held.revision == here.newest
    assert session in held.sessions
    assert "not complete" not in held.sessions


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE books (title TEXT)")
    with pytest.raises(StoreUnreachable, match="a database of another program"):
        holdings.read(f"sqlite:///{tmp_path}/other.db")
