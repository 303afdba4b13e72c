"""The findings on store and spool, with real SQLite stores, records that are imported, and servers that are away."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import store
from runner.doctor import storecheck
from runner.doctor.finding import NOTE, OK, PROBLEM, Finding
from runner.errors import BadValue, StoreUnreachable
from runner.record import record
from runner.store.look import schema
from tests.support.records import example_record


def found() -> dict[str, Finding]:
    return {each.name: each for each in storecheck.findings()}


@pytest.fixture
def embedded(tmp_path: Path, empty_sqlite: Path) -> Path:
    """The embedded store in the working folder, already made."""
    shutil.copy(empty_sqlite, tmp_path / "mlflow.db")
    return tmp_path / "mlflow.db"


def test_before_the_first_session_there_is_no_store_and_none_is_made(tmp_path: Path) -> None:
    assert [(each.state, each.finding) for each in found().values()] == [
        (OK, "sqlite:///mlflow.db: the first session makes it"),
        (OK, "no record waits in spool/"),
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("embedded")
@pytest.mark.medium
def test_a_store_is_named_with_its_revision() -> None:
    here = schema.installed()
    assert here is not None
    assert found()["store"] == Finding(
        "store", OK, f"sqlite:///mlflow.db: schema {here.newest} of MLflow {here.version}, 0 sessions"
    )


@pytest.mark.usefixtures("embedded")
@pytest.mark.slow
def test_records_that_were_not_imported_are_counted() -> None:
    spool = Path("spool")
    first, second = example_record(), example_record(session={"id": "fedcba9876543210"})
    record.write(first, spool / "first.json")
    assert found()["spool"].finding == "1 of 1 record in spool/ not imported"
    store.import_folder(spool)
    findings = found()
    assert findings["store"].finding.endswith(", 1 session")
    assert (findings["spool"].state, findings["spool"].finding) == (OK, "the store has every record in spool/")
    record.write(second, spool / "second.json")
    (spool / "damaged.json").write_text("{")
    assert found()["spool"] == Finding(
        "spool", NOTE, "2 of 3 records in spool/ not imported", "python -m runner import spool"
    )


@pytest.mark.parametrize("content", [b"nonsense", b"SQLite format 3\0 and nothing else"])
def test_a_broken_store_is_a_problem(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mlflow.db").write_bytes(content)
    finding = found()["store"]
    assert (finding.state, finding.exit_code) == (PROBLEM, StoreUnreachable.exit_code)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a server that accepts connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http://{}", "postgresql://user:secret@{}/mlflow"])
def test_a_silent_server_is_given_up_within_seconds(
    silent_server: str, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", scheme.format(silent_server))
    started = time.monotonic()
    finding = found()["store"]
    assert time.monotonic() - started < 8
    assert finding.state == NOTE
    assert "does not answer" in finding.finding
    assert "secret" not in finding.finding


@pytest.mark.medium
def test_a_server_that_was_stopped_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    record.write(example_record(), Path("spool") / "first.json")
    findings = found()
    assert findings["store"].state == NOTE
    assert "Connection refused" in findings["store"].finding
    assert findings["spool"].finding == "1 record in spool/; the store's sessions are unknown"


@pytest.mark.slow
def test_a_server_answers(http_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", http_uri)
    assert found()["store"] == Finding("store", OK, f"{http_uri} answers")


def test_without_mlflow_records_stay_in_the_spool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    finding = found()["store"]
    assert (finding.state, finding.finding) == (NOTE, "this Python has no MLflow to store sessions in")
    assert "--spool DIR" in str(finding.remedy)


@pytest.mark.parametrize("there", ["spool", "."])
def test_a_spool_that_cannot_be_written_is_a_problem(monkeypatch: pytest.MonkeyPatch, there: str) -> None:
    Path("spool").mkdir(exist_ok=True)
    if there == ".":
        Path("spool").rmdir()
    monkeypatch.setattr(storecheck.os, "access", lambda path, _: path != Path(there))
    finding = found()["spool"]
    assert (finding.state, finding.exit_code) == (PROBLEM, BadValue.exit_code)
    assert finding.finding == f"{Path(there).absolute()} cannot be written"
