"""A folder of records goes into the store exactly once, whatever happened before."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from runner import store
from runner.errors import BadValue, StoreUnreachable
from runner.record import record, sidecar
from runner.store import importing, lock
from runner.store.commit import Committed, Known, store_view
from runner.store.look import before
from runner.store.session_run import COMMITTED_TAG, OWNER_TAG, View, view
from tests.runner.store import contents
from tests.support import damaged
from tests.support.derive import file_name, typed
from tests.support.records import example_record, failed_record
from tests.support.stores import free_port

MOST_WRITES = 60  # more than a commit has


def _spool(folder: Path, count: int) -> list[Path]:
    paths = []
    for index in range(count):
        measured = example_record(session={"id": f"session-{index}", "index": index})
        paths.append(folder / "h200" / file_name(measured))
        record.write(measured, paths[-1])
    return paths


@pytest.mark.slow
@pytest.mark.usefixtures("any_uri")
def test_every_record_of_the_folder_and_below_becomes_a_run(tmp_path: Path) -> None:
    _spool(tmp_path / "spool", 3)
    report = store.import_folder(tmp_path / "spool")
    assert (len(report.imported), report.present, report.refused, report.closed) == (3, (), (), ())


@pytest.mark.slow
def test_importing_twice_adds_nothing(any_uri: str, tmp_path: Path) -> None:
    _spool(tmp_path / "spool", 2)
    first = store.import_folder(tmp_path / "spool")
    before = [contents.everything(any_uri, run_id) for run_id in first.imported]
    count = len(contents.runs(any_uri))
    second = store.import_folder(tmp_path / "spool")
    assert (second.imported, second.present) == ((), first.imported)
    assert [contents.everything(any_uri, run_id) for run_id in first.imported] == before
    assert len(contents.runs(any_uri)) == count


@pytest.mark.medium
def test_a_batch_holds_the_store_once_and_searches_for_no_session(
    sqlite_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _spool(tmp_path / "spool", 5)
    monkeypatch.setattr(importing, "BATCH_RECORDS", 2)
    searches, holdings = [], []
    search, held = MlflowClient.search_runs, lock.held
    monkeypatch.setattr(MlflowClient, "search_runs", lambda *given: searches.append(given) or search(*given))
    monkeypatch.setattr(lock, "held", lambda uri: holdings.append(uri) or held(uri))
    first = store.import_folder(tmp_path / "spool")
    # the check of the store, then batches of 2, 2 and 1
    assert (len(first.imported), len(searches), holdings) == (5, 0, [sqlite_uri] * 4)
    again = store.import_folder(tmp_path / "spool")
    assert (again.imported, again.present, len(searches)) == ((), first.imported, 0)


@pytest.mark.medium
def test_a_batch_that_takes_long_releases_the_store_meanwhile(
    sqlite_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _spool(tmp_path / "spool", 3)
    monkeypatch.setattr(importing, "HELD_S", 0.0)
    held, holdings = lock.held, []
    monkeypatch.setattr(lock, "held", lambda uri: holdings.append(uri) or held(uri))
    assert len(store.import_folder(tmp_path / "spool").imported) == 3
    assert holdings == [sqlite_uri] * 4  # the check of the store, then one for each record


@pytest.mark.slow
def test_a_session_that_another_host_stores_during_a_batch_is_not_stored_again(
    postgresql_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgresql_uri)
    name = f"test-{time.time_ns()}"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    _, second = _spool(tmp_path / "spool", 2)
    text = second.read_text()
    elsewhere = [view(typed(json.loads(text)), text)]

    def stored(client: MlflowClient, session_view: View, run_id: str | None, known: Known) -> Committed:
        committed = store_view(client, session_view, run_id, known)
        while elsewhere:  # after the first session, by a process without this host's lock
            store_view(client, elsewhere.pop(), None)
        return committed

    monkeypatch.setattr(importing, "store_view", stored)
    report = store.import_folder(tmp_path / "spool")
    assert (report.refused, len(report.imported), len(report.present)) == ((), 1, 1)
    home = MlflowClient(tracking_uri=postgresql_uri).get_experiment_by_name(name).experiment_id
    assert [run.info.experiment_id for run in contents.runs(postgresql_uri)].count(home) == 2


@pytest.mark.medium
def test_two_files_of_one_session_in_a_batch_are_one_run(sqlite_uri: str, tmp_path: Path) -> None:
    (path,) = _spool(tmp_path / "spool", 1)
    shutil.copy(path, path.with_name("copy.json"))
    report = store.import_folder(tmp_path / "spool")
    assert (report.imported, report.refused) == (report.present, ())
    assert len(contents.runs(sqlite_uri)) == 1


@pytest.mark.medium
def test_damaged_records_are_named_and_the_others_imported(sqlite_uri: str, tmp_path: Path) -> None:
    whole, cut, alien, lacking, newer = _spool(tmp_path / "spool", 5)
    cut.write_text(cut.read_text()[:700])
    alien.write_text('{"name": "not ours"}')
    lacking.write_text(lacking.read_text().replace('"started_ms"', '"began_ms"'))
    newer.write_text(newer.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    report = store.import_folder(tmp_path / "spool")
    assert [refused.path for refused in report.refused] == [cut, alien, lacking, newer]
    reasons = ["not a complete JSON file", "not a record of this project", "damaged record", "schema_version 99"]
    assert all(words in refused.reason for words, refused in zip(reasons, report.refused, strict=True))
    assert not any(str(refused.path) in refused.reason for refused in report.refused)
    assert [run.info.run_id for run in contents.runs(sqlite_uri)] == list(report.imported)
    assert whole.exists()


@pytest.mark.medium
def test_whatever_verify_rejects_stays_in_the_spool_and_stops_nothing(sqlite_uri: str, tmp_path: Path) -> None:
    (right,) = _spool(tmp_path / "spool", 1)
    wrong = damaged.write(tmp_path / "spool" / "a")
    report = store.import_folder(tmp_path / "spool")
    assert [refused.path for refused in report.refused] == wrong
    assert all(refused.reason and "\n" not in refused.reason for refused in report.refused)
    assert [run.info.run_id for run in contents.runs(sqlite_uri)] == list(report.imported)
    assert len(report.imported) == 1
    assert all(path.exists() for path in (right, *wrong))


@pytest.mark.medium
def test_a_record_that_the_store_refuses_leaves_no_run_open_and_stops_nothing(any_uri: str, tmp_path: Path) -> None:
    # the sidecar names a run that has another text for a param of ours
    client = MlflowClient(any_uri)
    taken = client.create_run("0").info.run_id
    client.log_param(taken, "cell.ctx", "17")
    paths = _spool(tmp_path / "spool", 3)
    sidecar.remember_run(paths[0], taken)
    report = store.import_folder(tmp_path / "spool")
    assert [(refused.path, refused.by_store) for refused in report.refused] == [(paths[0], True)]
    assert "cell.ctx" in report.refused[0].reason
    assert len(report.imported) == 2
    run = client.get_run(taken)
    assert (run.info.status, run.data.tags["reason"]) == ("FAILED", "store-unreachable")
    again = store.import_folder(tmp_path / "spool")
    assert (len(again.present), len(again.refused)) == (2, 1)


def test_a_folder_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadValue, match="no such folder"):
        store.import_folder(tmp_path / "nowhere")


@pytest.mark.medium
def test_a_record_goes_into_the_run_that_mlflow_made_for_it(any_uri: str, tmp_path: Path) -> None:
    # measured under `mlflow run` while the server was away: the sidecar names the run
    client = MlflowClient(tracking_uri=any_uri)
    made = client.create_run(client.create_experiment(f"of-mlflow-{time.time_ns()}"))
    client.set_terminated(made.info.run_id, "FAILED")  # as `mlflow run` does when its command fails
    (path,) = _spool(tmp_path / "spool", 1)
    sidecar.remember_run(path, made.info.run_id)
    assert store.import_folder(tmp_path / "spool").imported == (made.info.run_id,)
    assert client.get_run(made.info.run_id).info.status == "FINISHED"
    assert store.import_folder(tmp_path / "spool").present == (made.info.run_id,)


@pytest.mark.medium
@pytest.mark.usefixtures("sqlite_uri")
def test_a_sidecar_that_is_no_run_id_is_passed_over(tmp_path: Path) -> None:
    (path,) = _spool(tmp_path / "spool", 1)
    path.with_name(f"{path.name}.run-id").write_text("' OR 1=1 --\n")
    assert sidecar.remembered_run(path) is None
    assert len(store.import_folder(tmp_path / "spool").imported) == 1


@pytest.mark.medium
def test_a_failed_session_is_imported_as_failed(sqlite_uri: str, tmp_path: Path) -> None:
    record.write(failed_record("oom"), tmp_path / "spool" / "oom.json")
    store.import_folder(tmp_path / "spool")
    assert [run.info.status for run in contents.runs(sqlite_uri)] == ["FAILED"]


@pytest.mark.whole
@pytest.mark.slow
def test_killed_before_any_write_of_a_commit_the_import_leaves_one_complete_run(
    tmp_path: Path, empty_sqlite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = _spool(tmp_path / "spool", 1)
    measured = record.read(path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", _copy(empty_sqlite, tmp_path / "whole"))
    whole = _but_owner(os.environ["MLFLOW_TRACKING_URI"], store.commit(typed(measured), None))
    left_behind = []
    for writes in range(MOST_WRITES):
        uri = _copy(empty_sqlite, tmp_path / str(writes))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        was_killed = _commit_and_kill(measured, writes)
        left_behind.append(_state(uri))
        store.import_folder(tmp_path / "spool")
        found = contents.session_run(uri, measured["session"]["id"])
        assert _but_owner(uri, found.info.run_id) == whole
        assert len(contents.runs(uri)) == 1
        if not was_killed:
            break
    assert left_behind[-1] == "all"
    assert left_behind.count("part") >= 5
    assert left_behind == sorted(left_behind, key=["nothing", "part", "all"].index)


def _but_owner(uri: str, run_id: str) -> dict[str, Any]:
    """The contents of a run, but for the process that wrote it first."""
    found = contents.everything(uri, run_id)
    return {**found, "tags": {name: value for name, value in found["tags"].items() if name != OWNER_TAG}}


def _copy(empty_sqlite: Path, folder: Path) -> str:
    folder.mkdir()
    shutil.copy(empty_sqlite, folder / "mlflow.db")
    return f"sqlite:///{folder}/mlflow.db"


def _commit_and_kill(measured: dict[str, object], writes: int) -> bool:
    """Commit in a child that is killed before the next transaction of its database after so many; false where it has
    no more than that."""
    child = os.fork()
    if child == 0:
        left = [writes]

        def kill(_connection: object) -> None:
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

        event.listen(Engine, "commit", kill)
        try:
            store.commit(typed(measured), None)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _state(uri: str) -> str:
    found = contents.runs(uri)
    if not found:
        return "nothing"
    return "all" if COMMITTED_TAG in found[0].data.tags and found[0].info.status == "FINISHED" else "part"


@pytest.mark.medium
def test_a_whole_run_of_a_session_goes_before_one_that_was_only_begun(sqlite_uri: str, tmp_path: Path) -> None:
    _spool(tmp_path / "spool", 1)
    first = store.import_folder(tmp_path / "spool")
    begun = MlflowClient(sqlite_uri).create_run("0", tags={"session": "session-0"})  # newer, which MLflow puts first
    assert store.import_folder(tmp_path / "spool").present == first.imported
    assert COMMITTED_TAG not in MlflowClient(sqlite_uri).get_run(begun.info.run_id).data.tags


@pytest.mark.medium
@pytest.mark.usefixtures("sqlite_uri")
def test_an_import_stops_at_a_dead_server_and_goes_on_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (spooled,) = _spool(tmp_path / "spool", 1)
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(StoreUnreachable, match="runner import"):
            store.import_folder(spooled.parent)
    assert len(store.import_folder(spooled.parent).imported) == 1


@pytest.mark.usefixtures("sqlite_uri")
def test_a_store_that_takes_no_record_is_named_with_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StoreUnreachable("the store takes nothing")

    for name in ("a.json", "below/b.json"):
        record.write(failed_record(), tmp_path / name)
    monkeypatch.setattr(before, "check", refuse)
    with pytest.raises(StoreUnreachable, match=f"the store takes nothing, then `python -m runner import {tmp_path}` "):
        store.import_folder(tmp_path)
