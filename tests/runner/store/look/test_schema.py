"""The schema of a database: that of another MLflow or another program is refused and left as it is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from analysis.sources.store import Store
from runner import store
from runner.errors import StoreUnreachable
from runner.store import address
from runner.store.look import schema
from tests.support.derive import typed
from tests.support.looks import refusal
from tests.support.records import example_record

OLDER = sorted((Path(__file__).parent / "older").glob("*.sql"))


@pytest.mark.medium
@pytest.mark.parametrize("dump", OLDER, ids=lambda path: path.stem)
def test_an_older_database_is_refused_alike_in_reading_and_writing_and_left_as_it_is(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, uri = tmp_path / "mlflow.db", f"sqlite:///{tmp_path}/mlflow.db"
    with closing(sqlite3.connect(file)) as made:
        made.executescript(dump.read_text())
    before = file.read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    said = refusal()
    assert "of an older MLflow" in said
    assert f"`mlflow db upgrade {uri}`" in said
    with pytest.raises(StoreUnreachable) as written:
        store.commit(typed(example_record()), None)
    with pytest.raises(StoreUnreachable) as read:
        Store(uri).frame(("step_wall_ms",))
    assert str(written.value).startswith(said)
    assert str(read.value) == said
    assert file.read_bytes() == before


def test_a_newer_database_asks_for_its_own_mlflow(sqlite_uri: str) -> None:
    with closing(sqlite3.connect(address.sqlite_file(sqlite_uri) or "")) as made, made:
        made.execute("UPDATE alembic_version SET version_num = '0123456789ab'")
    assert "unknown schema 0123456789ab of another, most likely newer MLflow" in refusal()


def test_a_database_of_something_else_gets_no_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(tmp_path / "places.db")) as made:
        made.execute("CREATE TABLE bookmarks (url TEXT)")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/places.db")
    assert "a database of another program: set MLFLOW_TRACKING_URI" in refusal()
    with pytest.raises(StoreUnreachable, match="a database of another program"):
        store.commit(typed(example_record()), None)


@pytest.mark.medium
def test_the_schema_that_is_read_off_the_files_is_mlflows_own() -> None:
    from mlflow.store.db.utils import _get_latest_schema_revision
    from mlflow.version import VERSION

    known = schema.installed()
    assert known is not None
    assert (known.version, known.newest) == (VERSION, _get_latest_schema_revision())
