"""Refusals of a database server or a driver come with their remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.sources.store import Store
from runner.errors import StoreUnreachable
from runner.store.look import refusals
from tests.support.looks import refusal


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "said", "advice"),
    [
        ("se%40cret", "guess", "password authentication failed", "correct the user and the password in"),
        ("tester", "nobody", "authentication failed", "correct the user and the password in"),
        (
            "/postgres",
            "/nosuchdb",
            'database "nosuchdb" does not exist',
            "create it (`createdb NAME`), or name another",
        ),
        ("/postgres", "/postgres?sslmode=require", "server does not support SSL", "set sslmode in MLFLOW_TRACKING_URI"),
        ("/postgres", "/postgres?sslmode=often", "sslmode", "sslmode"),
        ("/postgres", "/postgres?sesame=open", "sesame", "correct MLFLOW_TRACKING_URI"),
    ],
)
def test_what_keeps_postgresql_from_letting_us_in_is_told_with_its_remedy(
    old: str, new: str, said: str, advice: str, postgresql_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri := postgresql_uri.replace(old, new))
    with pytest.raises(StoreUnreachable) as read:
        Store(uri).frame(("step_wall_ms",))
    for found in (refusal(), str(read.value)):
        assert said in found
        assert advice in found
        assert "start" not in found
        assert "\n" not in found


def test_a_file_that_is_no_database_says_to_name_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_text("no database\n" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/notes.txt")
    said = "(file is not a database): that file is not an SQLite database: name another in MLFLOW_TRACKING_URI"
    assert said in refusal()


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ('FATAL:  role "me" does not exist', "correct the user and the password"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', "allow this host and user in its pg_hba.conf"),
        ("FATAL:  sorry, too many clients already", "close some of its connections"),
        ("database disk image is malformed", "restore a copy of it"),
        ("attempt to write a readonly database", "make it and its folder writable"),
        ("cannot execute INSERT in a read-only transaction", "have its owner GRANT this user the missing rights"),
    ],
)
def test_each_message_has_the_remedy_of_its_own_kind(message: str, advice: str) -> None:
    assert advice in (refusals.remedy(message) or "")


def test_a_message_of_no_known_kind_has_none() -> None:
    assert refusals.remedy("Connection refused") is None
