"""A database before it is used: locks and missing rights are one line each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from mlflow import MlflowClient

from analysis.sources.store import Store
from runner import store
from runner.errors import BadRecord, StoreUnreachable
from runner.record import record
from runner.store import address
from runner.store.look import database
from tests.support.looks import refusal
from tests.support.processes import holding
from tests.support.records import example_record


@pytest.mark.medium
def test_a_database_that_another_program_keeps_locked_names_it(
    sqlite_uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(database, "LOCK_WAIT_S", 0.2)
    file = address.sqlite_file(sqlite_uri)
    code = f"import sqlite3; c = sqlite3.connect({str(file)!r}, isolation_level=None); c.execute('BEGIN EXCLUSIVE')"
    record.write(example_record(), tmp_path / "spool" / "session.json")
    with holding(code) as pid:
        said = refusal()
        assert f"is kept locked by process {pid} (python" in said
        assert "wait until it has ended, or end it" in said
        with pytest.raises(StoreUnreachable, match=f"locked by process {pid} .*runner import"):
            store.import_folder(tmp_path / "spool")
    assert store.before_measuring(None) is None
    assert len(store.import_folder(tmp_path / "spool").imported) == 1


@pytest.mark.slow
def test_a_table_that_another_program_keeps_locked_is_one_line(
    postgresql_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgresql_uri)
    MlflowClient(postgresql_uri).search_experiments()
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=200ms")
    with psycopg.connect(postgresql_uri) as other:
        other.execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
        assert "is kept locked by another program" in refusal()


@pytest.fixture(scope="module")
def rights(postgresql_uri: str) -> Iterator[tuple[str, str]]:
    """URIs of a store and of an empty database, with {} for the user: `reader` may read the store's tables, `stranger`
    nothing."""
    place = postgresql_uri.rpartition("/")[0]
    with psycopg.connect(postgresql_uri, autocommit=True) as link:
        for name in ("rights_full", "rights_empty"):
            link.execute(f"CREATE DATABASE {name}")
        for name in ("reader", "stranger"):
            link.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'se@cret'")
    MlflowClient(f"{place}/rights_full").search_experiments()
    with psycopg.connect(f"{place}/rights_full", autocommit=True) as link:
        link.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    full, empty = (f"{place.replace('//tester:', '//{}:')}/{name}" for name in ("rights_full", "rights_empty"))
    yield full, empty
    with psycopg.connect(postgresql_uri, autocommit=True) as link:
        for name in ("rights_full", "rights_empty"):
            link.execute(f"DROP DATABASE {name} WITH (FORCE)")
        link.execute("DROP ROLE reader, stranger")


GRANT = "have its owner GRANT this user the missing rights"


@pytest.mark.medium
def test_what_a_user_of_postgresql_may_not_do_is_told_before_anything_is_measured(
    rights: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full, empty = rights
    record.write(example_record(), tmp_path / "spool" / "session.json")
    for uri, said in (
        (full.format("reader"), "permission denied for table"),
        (full.format("stranger"), "permission denied for table"),
        (empty.format("stranger"), "permission denied: this user lacks CREATE on the schema"),
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        found = refusal()
        assert said in found
        assert GRANT in found
        assert "cret" not in found
        with pytest.raises(StoreUnreachable, match=GRANT):
            store.import_folder(tmp_path / "spool")


@pytest.mark.medium
def test_what_a_user_of_postgresql_may_not_read_is_told(rights: tuple[str, str]) -> None:
    full, empty = rights
    with pytest.raises(StoreUnreachable, match=f"permission denied for table .*{GRANT}"):
        Store(full.format("stranger")).frame(("step_wall_ms",))
    with pytest.raises(BadRecord, match="has no runs"):
        Store(full.format("reader")).frame(("step_wall_ms",))
    with pytest.raises(BadRecord, match="the database is empty"):
        Store(empty.format("stranger")).frame(("step_wall_ms",))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///x.db", True),
        ("postgresql+psycopg://host/db", True),
        ("http://host:5000", False),
        ("postgres://host/db", False),  # which SQLAlchemy does not know
        ("databricks", False),
    ],
)
def test_a_database_is_known_by_its_scheme(uri: str, expected: bool) -> None:
    assert database.is_database(uri) is expected


def test_a_lock_and_a_server_that_is_away_are_known_by_the_drivers_words() -> None:
    locked, away = "canceling statement due to lock timeout", "connection failed: FATAL: the database is starting up"
    assert (database.is_locked(locked), database.is_away(locked)) == (True, False)
    assert (database.is_locked(away), database.is_away(away)) == (False, True)


def test_a_file_that_does_not_exist_yet_is_no_database_and_is_not_made(tmp_path: Path) -> None:
    with database.opened(f"sqlite:///{tmp_path}/x.db") as tables:
        assert tables is None
    assert list(tmp_path.iterdir()) == []
