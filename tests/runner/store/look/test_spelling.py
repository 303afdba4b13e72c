"""The URI of a store as people mistype it: each is refused with the correct spelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.sources.store import Store
from runner import store
from runner.errors import BadValue
from runner.record import record
from runner.store.look import spelling
from tests.support.looks import refusal
from tests.support.records import example_record


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("ftp://me:secret@host/x", "ftp://me:***@host/x is not the URI of any kind of MLflow store"),
        ("sqllite:///x.db", "did you mean sqlite?"),
        ("postgres://host/db", "did you mean postgresql? (such as sqlite:///FILE, postgresql://… or "),
        ("htp://localhost:5000", "did you mean http?"),
        ("postgresql:/host/db", "write postgresql://HOST…, with two slashes"),
        (
            "http:/me:secret@localhost:5000",
            "http:… is not the URI of an MLflow store: write http://HOST…, with two slashes",
        ),
        ("sqlite://mlflow.db", "write sqlite:///mlflow.db, with three slashes"),
        ("sqlite:/x/y.db?timeout=5", "write sqlite:////x/y.db?timeout=5, with three slashes"),
        ("sqlite://me:secret@host/x", "write sqlite:///FILE, with three slashes"),
        ("sqlite:x.db", "write sqlite:///x.db, with three slashes"),
        ("SQLite:///x.db", "did you mean sqlite?"),
        (" sqlite:///x.db", "' sqlite:///x.db', has blanks or quotes around it: write sqlite:///x.db"),
        ('"sqlite:///x.db"', "has blanks or quotes around it: write sqlite:///x.db"),
        ("'postgresql://me:secret@host/x'\n", "write postgresql://me:***@host/x"),
        ("sqlite:///~/x y/z.db", "a folder named ~: write sqlite:////home/us%20ers/x%20y/z.db"),
        ("store.db", "is a path, not the URI of an MLflow store"),
        (".", "is a folder, and MLflow no longer writes runs into folders"),
        ("file:///tmp", "or MLFLOW_ALLOW_FILE_STORE=true"),
    ],
)
def test_a_uri_of_no_store_is_refused(uri: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("HOME", "/home/us ers")
    found = refusal(kind=BadValue)
    assert said in found
    assert "secret" not in found
    if "is a folder" not in found:  # which may still be read
        with pytest.raises(BadValue) as read:
            Store(uri).frame(("step_wall_ms",))
        assert str(read.value) == found
    record.write(example_record(), tmp_path / "spool" / "session.json")
    with pytest.raises(BadValue):
        store.import_folder(tmp_path / "spool")


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///x.db",
        "sqlite:////abs/x.db?timeout=5",
        "sqlite+pysqlite:///x.db",
        "sqlite://",  # a database in memory
        "postgresql+psycopg://me:secret@host/db",
        "https://host:5000/prefix",
        "databricks",
        "file:///runs",
    ],
)
def test_a_uri_that_mlflow_reads_as_it_is_meant_is_taken(uri: str) -> None:
    spelling.check(uri)


def test_a_uri_of_blanks_alone_names_no_store() -> None:
    with pytest.raises(BadValue, match="unset it, or name a store"):
        spelling.check("' '")
