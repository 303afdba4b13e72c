"""Direct access to a store's database: its state is noticed, and nothing else is opened or written to."""

import sqlite3

import psycopg
import pytest

from analysis import ab
from analysis.sources import sql
from analysis.sources.client import ClientStore
from analysis.sources.store import Store
from analysis.tables import floor
from runner.errors import BadRecord, BadValue, StoreUnreachable
from tests.support.sources import CHANGES, valid_sessions


@pytest.mark.medium
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_changed_store_is_noticed(changeable, change, journal):
    uri, connection = changeable
    connection.execute(f"PRAGMA journal_mode = {journal}")
    before = valid_sessions(uri)
    assert valid_sessions(uri) == before
    connection.execute(change)
    connection.commit()
    if "experiments" in change:
        with pytest.raises(BadRecord, match="no runs"):
            valid_sessions(uri)
    else:
        assert valid_sessions(uri) == before - 1


@pytest.mark.slow
def test_a_changed_postgresql_store_is_noticed(postgresql, monkeypatch):
    before = valid_sessions(postgresql)
    assert valid_sessions(postgresql) == before
    with psycopg.connect(postgresql) as connection:
        connection.execute(CHANGES["an edited tag"])
        assert valid_sessions(postgresql) == before  # not committed yet
        connection.commit()
        assert valid_sessions(postgresql) == before - 1
        connection.execute(CHANGES["an edited tag"].replace("'false'", "'true'"))
    assert valid_sessions(postgresql) == before
    monkeypatch.setattr(sql, "frame", None)  # an unchanged one is not read again
    assert valid_sessions(postgresql) == before


@pytest.mark.parametrize("exists", [True, False])
def test_a_path_in_place_of_a_uri_is_told_which_uri_was_meant(tmp_path, exists):
    file = tmp_path / "store.db"
    if exists:
        file.touch()
    with pytest.raises(BadValue, match=f"is a path, not the URI .*: did you mean sqlite:///{file}[?]"):
        Store(str(file)).frame(floor.METRICS)


def test_a_store_that_is_not_there_or_none_says_so(tmp_path):
    with pytest.raises(BadRecord, match="there is no MLflow store"):
        Store(f"sqlite:///{tmp_path}/mlflow.db").frame(floor.METRICS)
    (tmp_path / "text.db").write_text("no database" * 100)
    with pytest.raises(StoreUnreachable, match="cannot be read"):
        Store(f"sqlite:///{tmp_path}/text.db").frame(floor.METRICS)


@pytest.fixture
def empty_postgresql(postgresql_uri):
    """A database without a table."""
    with psycopg.connect(postgresql_uri, autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty")
        yield f"{postgresql_uri.rpartition('/')[0]}/empty"
        connection.execute("DROP DATABASE empty WITH (FORCE)")


FOREIGN = {
    "nothing": ("", " yet, the database is empty: .*runner import"),
    "a table": ("CREATE TABLE foo (a INTEGER)", ", a database of another program: name a store"),
    "migrations of another program": (
        "CREATE TABLE runs (a INTEGER); CREATE TABLE alembic_version (version_num VARCHAR(32)); "
        "INSERT INTO alembic_version VALUES ('0123456789ab')",
        ", a database of another program: name a store",
    ),
}


@pytest.mark.parametrize("source", [Store, ClientStore])
@pytest.mark.parametrize(("made", "said"), FOREIGN.values(), ids=FOREIGN)
def test_a_database_of_something_else_is_not_written_to(source, made, said, tmp_path):
    file = tmp_path / "foreign.db"
    file.touch()
    with sqlite3.connect(file) as connection:
        connection.executescript(made)
    before = file.read_bytes()
    for read in (source(f"sqlite:///{file}").frame, source(f"sqlite:///{file}").compared):
        with pytest.raises(BadRecord, match=f"there is no MLflow store in sqlite:///{file}{said}"):
            read(ab.NEEDED)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["foreign.db"]


@pytest.mark.medium
@pytest.mark.parametrize(("made", "said"), FOREIGN.values(), ids=FOREIGN)
def test_a_postgresql_database_of_something_else_is_not_written_to(made, said, empty_postgresql):
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"
    with psycopg.connect(empty_postgresql, autocommit=True) as connection:
        connection.execute(made or "SELECT 1")
        before = connection.execute(tables).fetchall()
        with pytest.raises(BadRecord, match=f"there is no MLflow store in .*/empty{said}") as caught:
            Store(empty_postgresql).frame(floor.METRICS)
        assert connection.execute(tables).fetchall() == before
    assert "cret" not in str(caught.value)
