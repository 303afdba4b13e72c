"""SQLite files as stores: what is in the way of one is told, in writing and in reading."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from analysis.sources.store import Store
from runner import store
from runner.errors import BadRecord, BadValue, StoreUnreachable
from runner.record import record
from runner.store import address
from tests.support.looks import refusal
from tests.support.records import example_record


def _in_the_way(place: Path, kind: str) -> Path:
    """The file of a store that cannot be one."""
    if kind == "a folder":
        place.mkdir()
    elif kind == "a pipe":
        os.mkfifo(place)
    elif kind == "a loop":
        place.symlink_to(place.name)
    elif kind == "below a file":
        place.write_text("")
        return place / "mlflow.db"
    return Path("/dev/null") if kind == "a device" else place


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("a folder", "Is a directory: it is a folder: name a file"),
        ("a pipe", "not a file but a pipe or a device"),
        ("a device", "not a file but a pipe or a device"),
        ("a loop", "Too many levels of symbolic links: its links form a loop"),
        ("below a file", "Not a directory: it, or a part of its path, is a file"),
    ],
)
def test_what_is_in_the_way_of_an_sqlite_file_is_told_in_writing_and_reading(
    kind: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = _in_the_way(tmp_path / "x.db", kind)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri := f"sqlite:///{place}")
    expected = f"the MLflow store {uri} cannot be used: {place}: {said}"
    assert refusal().startswith(expected)
    record.write(example_record(), tmp_path / "spool" / "session.json")
    with pytest.raises(StoreUnreachable, match="cannot be used") as caught:
        store.import_folder(tmp_path / "spool")
    assert str(caught.value).startswith(expected)
    with pytest.raises(StoreUnreachable) as read:
        Store(uri).frame(("step_wall_ms",))
    assert str(read.value).startswith(expected)


@pytest.mark.usefixtures("sqlite_uri")
def test_a_folder_in_place_of_the_lock_is_told(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db.lock").mkdir()
    assert f"{tmp_path}/mlflow.db.lock: Is a directory" in refusal()


def test_a_folder_whose_name_is_not_utf8_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/tr\xe8s"))
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert "whose name is not UTF-8: rename it, or set MLFLOW_TRACKING_URI" in refusal(kind=BadValue)
    record.write(example_record(), folder / "spool" / "session.json")
    with pytest.raises(BadValue, match="not UTF-8"):
        store.import_folder(folder / "spool")
    assert [path.name for path in folder.iterdir()] == ["spool"]
    with pytest.raises(BadRecord, match="there is no MLflow store"):
        Store(address.tracking_uri()).frame(("step_wall_ms",))
