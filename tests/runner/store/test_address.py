"""Each spelling of a URI names the file that MLflow opens, and has one lock."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._tracking_service.registry import TrackingStoreRegistry
from mlflow.utils.file_utils import path_to_local_sqlite_uri

from runner import store
from runner.errors import BadValue
from runner.processes.parentwatch import PARENT_PID_VARIABLE
from runner.store import address
from tests.runner.store import contents
from tests.support.derive import typed
from tests.support.records import example_record

ODD = "Ein Ordner ü%20#1 + 'q' \"r\" &;$x"


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, of a name that every part of a URI has a meaning for."""
    folder = tmp_path / ODD
    folder.mkdir()
    monkeypatch.chdir(folder)
    # MLflow keeps one store a URI, and another test may have had its own of a relative one
    TrackingStoreRegistry._get_store_with_resolved_uri.cache_clear()
    monkeypatch.setattr(SqlAlchemyStore, "_engine_map", {})
    return folder


def _opened(uri: str) -> Path:
    """The file that SQLAlchemy opens."""
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.connect() as link:
        return Path(link.exec_driver_sql("PRAGMA database_list").one()[2])


def _spellings(folder: Path) -> list[str]:
    (folder.parent / "link").symlink_to(folder)
    plain = str(folder / "mlflow.db")
    return [
        "sqlite:///mlflow.db",
        "sqlite:///./mlflow.db",
        f"sqlite:///../{quote(folder.name)}/mlflow.db?timeout=10",
        f"sqlite:///{plain.replace('%', '%25')}",
        f"sqlite:///{quote(plain)}",
        f"sqlite:///{quote(plain, safe='')}",
        f"sqlite+pysqlite:///{quote(plain)}",
        f"sqlite:///{folder.parent}/link/mlflow.db",
        f"sqlite:///file:{quote(quote(plain))}?uri=true&mode=rwc",
        path_to_local_sqlite_uri(plain),  # what `mlflow run` tells its command
    ]


@pytest.mark.medium
def test_every_spelling_is_the_file_that_is_opened_and_has_one_lock(odd: Path) -> None:
    for uri in _spellings(odd):
        assert _opened(uri) == odd / "mlflow.db"
        file = address.sqlite_file(uri)
        assert file is not None
        assert file.resolve() == odd / "mlflow.db"
        assert address.lock_path(uri) == odd / "mlflow.db.lock"
        assert address.identity(uri) == str(odd / "mlflow.db")


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql://host/db", "mlruns"])
def test_what_is_no_file_has_none(uri: str) -> None:
    assert address.sqlite_file(uri) is None


@pytest.mark.slow
def test_every_entry_writes_one_store_and_makes_no_other_folder(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index, uri in enumerate(["", *_spellings(odd)]):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        measured = example_record(session={"id": f"session-{index}", "index": index})
        run_id = store.commit(typed(measured), None)
        assert (odd / "mlruns" / "1" / run_id / "artifacts" / "record.json").is_file()
    assert sorted(each.name for each in odd.parent.iterdir()) == [ODD, "link"]
    assert sorted(each.name for each in odd.iterdir()) == ["mlflow.db", "mlflow.db.lock", "mlruns"]
    assert len(contents.runs("sqlite:///mlflow.db")) == 11


@pytest.mark.parametrize(
    "uris",
    [
        ("http://host:5000", "http://host:5000/", "http://host:5000//"),
        ("postgresql://me:one@host/db", "postgresql+psycopg://me:two@host/db"),
    ],
)
def test_a_server_has_one_lock_whose_name_tells_no_password(uris: tuple[str, ...]) -> None:
    assert len({address.lock_path(uri) for uri in uris}) == 1


def test_a_relative_store_is_where_mlflow_run_was_called(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = odd.parent / "called here"
    elsewhere.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db?timeout=5")
    monkeypatch.setenv("MLFLOW_RUN_ID", "1")
    with subprocess.Popen(["sleep", "60"], cwd=elsewhere) as mlflow:
        monkeypatch.setenv(PARENT_PID_VARIABLE, str(mlflow.pid))
        assert address.identity(address.tracking_uri()) == str(elsewhere / "mlflow.db")
        monkeypatch.delenv("MLFLOW_RUN_ID")
        assert address.identity(address.tracking_uri()) == str(odd / "mlflow.db")
        mlflow.kill()


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("postgresql://me:p/w%40:x@host:5432/my db?options=-c+a%3Db", "postgresql://me:p%2Fw%40%3Ax@host:5432/my%20db"),
        ("postgresql+psycopg://host/db", "postgresql://host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://:secret@/db", "postgresql://:secret@/db"),
    ],
)
def test_postgresqls_own_library_reads_what_sqlalchemy_does(uri: str, expected: str) -> None:
    import psycopg.conninfo

    found = address.libpq_uri(uri)
    assert found.partition("?")[0] == expected
    url, read = sqlalchemy.make_url(uri), psycopg.conninfo.conninfo_to_dict(found)
    names = {"user": url.username, "password": url.password, "host": url.host, "dbname": url.database, **url.query}
    assert read | {"port": None} == {name: value for name, value in names.items() if value} | {"port": None}


def test_a_byte_that_is_not_utf8_stays_that_byte() -> None:
    """A variable may hold any."""
    assert address.libpq_uri(os.fsdecode(b"postgresql://me@host/d\xff")) == "postgresql://me@host/d%FF"


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://me:first@second@host/db",
        "postgresql://me:first@second/third@host/db",
        "postgresql://me:first@second/third@host:5432",
        "http://me:first/second@host",
        "https://me:first?second@host",
        "http://me:first#second@host:5000",
    ],
)
def test_a_password_that_would_be_cut_is_refused_before_anybody_complains_of_its_parts(uri: str) -> None:
    with pytest.raises(BadValue, match="percent-encoded") as caught:
        address.check_password(uri)
    assert "first" not in str(caught.value)
    assert "second" not in str(caught.value)


@pytest.mark.parametrize("uri", ["http://@[", "https://me:first@[::1:5000", "http://me:first@[x]:1"])
def test_brackets_without_an_address_are_refused_in_one_line(uri: str) -> None:
    with pytest.raises(BadValue, match=r"is not a URI|percent-encoded") as caught:
        address.check_password(uri)
    assert "first" not in str(caught.value)


@pytest.mark.parametrize("uri", ["sqlite:///%00", "sqlite:///file:a%00b?uri=true", "sqlite:///file://[?uri=true"])
def test_a_name_that_no_file_can_have_is_refused_in_one_line(uri: str) -> None:
    with pytest.raises(BadValue, match="sqlite:///"):
        address.sqlite_file(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://me:first/second@host/db",
        "postgresql://me:first@host/db@second",
        "http://me:first@second@host:5000",
        "http://[::1]:5000/x",
        "http://host:5000/a@b",
        "sqlite:////home/me@work:x/mlflow.db",
    ],
)
def test_what_the_libraries_read_as_it_was_meant_is_taken(uri: str) -> None:
    address.check_password(uri)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("https://me:pa/ss@w@host/x", "https://me:***@host/x"),
        ("postgresql://me@host/db?password=secret&sslmode=off", "postgresql://me@host/db?password=***&sslmode=off"),
    ],
)
def test_no_password_is_shown(uri: str, shown: str) -> None:
    assert address.masked_uri(uri) == shown


def test_a_password_is_taken_out_of_a_drivers_message() -> None:
    text = "cannot log in to postgresql://me:secret@host with secret"
    assert address.without_secrets(text, "postgresql://me:secret@host") == (
        "cannot log in to postgresql://me:***@host with ***"
    )
