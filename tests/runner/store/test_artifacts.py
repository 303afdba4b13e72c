"""A store whose folder was moved, renamed or copied: artifacts lie beside the database that is open."""

from __future__ import annotations

import shutil
import sqlite3
from collections import OrderedDict
from pathlib import Path
from urllib.parse import quote

import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service import utils

from runner import store
from runner.store import artifacts, connection
from runner.store.commit import log_files
from runner.store.experiment import describe
from tests.runner.store import contents
from tests.support.derive import typed
from tests.support.records import example_record

NEW = "neuer Ort ü%20#1's"


def _uri(folder: Path) -> str:
    return f"sqlite:///{quote(str(folder))}/mlflow.db"


@pytest.fixture
def old(tmp_path: Path, empty_sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store as MLflow by itself makes it, and one session in it."""
    folder = tmp_path / "old"
    folder.mkdir()
    shutil.copy(empty_sqlite, folder / "mlflow.db")
    _be(folder, monkeypatch)
    MlflowClient(_uri(folder)).create_experiment("decode-floor", str(folder / "mlruns" / "1"))
    store.commit(typed(_record(0)), None)
    return folder


def _be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a new process in that folder: MLflow remembers where the runs that it wrote have their artifacts."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(utils, "_artifact_repos_cache", OrderedDict())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", _uri(folder))


def _record(index: int) -> dict[str, object]:
    return example_record(session={"id": f"session-{index}", "index": index})


def _records_in(folder: Path) -> int:
    """How many runs have their record below a folder."""
    return len(list(folder.glob("mlruns/1/*/artifacts/record.json")))


def _readable(folder: Path, scratch: Path) -> int:
    """How many runs' records MLflow itself reads; it must name the run's own session."""
    client = MlflowClient(_uri(folder))
    for run in contents.runs(_uri(folder)):
        text = Path(client.download_artifacts(run.info.run_id, "record.json", str(scratch))).read_text()
        assert f'"{run.data.tags["session"]}"' in text
    return len(contents.runs(_uri(folder)))


@pytest.mark.slow
def test_moved_the_earlier_artifacts_are_read_and_new_ones_lie_beside_them(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new = old.rename(tmp_path / NEW)
    _be(new, monkeypatch)
    store.commit(typed(_record(1)), None)
    assert capsys.readouterr().err == (
        "note: artifacts of experiment decode-floor: the store was moved, those of 1 earlier run are in "
        f"{new}/mlruns/1 now\n"
    )
    store.commit(typed(_record(2)), None)
    assert capsys.readouterr().err == ""
    assert (_records_in(new), _readable(new, tmp_path)) == (3, 3)
    assert not old.exists()


@pytest.mark.medium
def test_only_looked_at_a_moved_store_is_followed_too(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = old.rename(tmp_path / NEW)
    _be(new, monkeypatch)
    assert [name for name, _ in store.view_addresses("http://127.0.0.1:5000")] == ["decode-floor"]
    assert _readable(new, tmp_path) == 1


@pytest.mark.medium
def test_a_copy_writes_nothing_into_the_original(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = Path(shutil.copytree(old, tmp_path / NEW))
    _be(new, monkeypatch)
    store.commit(typed(_record(1)), None)
    assert (_records_in(old), _records_in(new), _readable(new, tmp_path)) == (1, 2, 2)
    _be(old, monkeypatch)
    store.commit(typed(_record(2)), None)
    assert (_records_in(old), _records_in(new), _readable(old, tmp_path)) == (2, 2, 2)


@pytest.mark.medium
def test_a_copy_of_the_database_alone_reads_the_original_and_writes_beside_itself(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / NEW
    new.mkdir()
    shutil.copy(old / "mlflow.db", new)
    _be(new, monkeypatch)
    store.commit(typed(_record(1)), None)
    assert f"those of 1 earlier run are in {old}/mlruns/1, new ones in {new}/mlruns/1" in capsys.readouterr().err
    assert (_records_in(old), _records_in(new), _readable(new, tmp_path)) == (1, 1, 2)


@pytest.mark.medium
def test_what_is_written_later_into_an_earlier_run_takes_its_artifacts_along(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / NEW
    new.mkdir()
    shutil.copy(old / "mlflow.db", new)
    _be(new, monkeypatch)
    run = contents.session_run(_uri(new), "session-0").info.run_id
    with connection.opened() as client:
        log_files(client, run, {"more.txt": "more"})
    assert not list(old.rglob("more.txt"))
    assert {"more.txt", "record.json"} <= set(contents.artifacts(MlflowClient(_uri(new)), run))


@pytest.mark.medium
def test_artifacts_that_did_not_come_along_are_told_and_found_once_they_do(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new = old.rename(tmp_path / NEW)
    kept = (new / "mlruns").rename(tmp_path / "forgotten")
    _be(new, monkeypatch)
    store.commit(typed(_record(1)), None)
    told = f"those of 1 earlier run were in {old}/mlruns/1 and are missing there: put them into {new}/mlruns/1\n"
    assert capsys.readouterr().err.endswith(told)
    assert not old.exists()
    shutil.copytree(kept / "1", new / "mlruns" / "1", dirs_exist_ok=True)
    assert _readable(new, tmp_path) == 2


@pytest.mark.medium
def test_a_run_that_mlflow_made_in_a_moved_store_is_written_beside_the_database(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `mlflow run` makes one: in its own experiment, before any code of ours is started."""
    new = old.rename(tmp_path / NEW)
    _be(new, monkeypatch)
    made = MlflowClient(_uri(new)).create_run("0")
    store.commit(typed(_record(1)), made.info.run_id)
    assert list(tmp_path.rglob("record.json")) == [
        *new.glob("mlruns/0/*/artifacts/record.json"),
        *new.glob("mlruns/1/*/artifacts/record.json"),
    ]
    assert (_readable(new, tmp_path), old.exists()) == (2, False)


@pytest.mark.medium
def test_a_place_that_somebody_chose_is_kept(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = MlflowClient(_uri(old))
    chosen = tmp_path / "big disk"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "chosen")
    home = client.create_experiment("chosen", chosen.as_uri())
    describe(client, home)
    _be(old.rename(tmp_path / NEW), monkeypatch)
    run = store.commit(typed(_record(1)), None)
    assert (chosen / run / "artifacts" / "record.json").is_file()


@pytest.mark.medium
def test_another_programs_experiment_is_left_alone(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = MlflowClient(_uri(old)).create_experiment("other", str(old / "mlruns" / "2"))
    new = old.rename(tmp_path / NEW)
    _be(new, monkeypatch)
    store.commit(typed(_record(1)), None)
    assert MlflowClient(_uri(new)).get_experiment(other).artifact_location == str(old / "mlruns" / "2")


@pytest.mark.medium
def test_a_database_behind_a_link_is_where_the_link_leads(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(old)
    before = (old / "mlflow.db").read_bytes()
    artifacts.correct_places(_uri(tmp_path / "link"))
    assert (old / "mlflow.db").read_bytes() == before
    _be(tmp_path / "link", monkeypatch)
    store.commit(typed(_record(1)), None)
    assert _records_in(old) == 2


@pytest.mark.slow
def test_a_store_away_from_the_working_folder_has_its_artifacts_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, here = tmp_path / "away", tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", _uri(away))
    store.commit(typed(_record(1)), None)
    assert (_records_in(away), list(here.iterdir())) == (1, [])
    with sqlite3.connect(away / "mlflow.db") as tables:
        locations = tables.execute("SELECT artifact_location FROM experiments").fetchall()
    assert locations == [((away / "mlruns" / "0").as_uri(),), ((away / "mlruns" / "1").as_uri(),)]


@pytest.mark.medium
def test_a_copy_of_the_database_by_another_name_writes_nothing_into_the_original(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    copy = shutil.copy(old / "mlflow.db", copies / "backup.db")
    monkeypatch.setattr(utils, "_artifact_repos_cache", OrderedDict())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copy}")
    store.commit(typed(_record(1)), None)
    assert (_records_in(old), _records_in(copies)) == (1, 1)


@pytest.mark.medium
@pytest.mark.parametrize("tag", [None, "decode_floor.report"], ids=["just made", "failed before"])
def test_runs_that_never_had_artifacts_are_not_told_as_lost(
    tag: str | None, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = MlflowClient(_uri(old))
    run = client.create_run("1", tags={tag: "report"} if tag else None)
    if tag:
        client.set_terminated(run.info.run_id, "FAILED")
    new = old.rename(tmp_path / NEW)
    _be(new, monkeypatch)
    store.commit(typed(_record(1)), None)
    assert "put them into" not in capsys.readouterr().err
    assert MlflowClient(_uri(new)).get_run(run.info.run_id).info.artifact_uri.startswith(new.as_uri())
