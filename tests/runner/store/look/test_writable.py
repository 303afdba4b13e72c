"""Whether files can be made in a folder, by a trial that leaves nothing behind."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from runner.store.look import writable
from tests.support.looks import refusal


@pytest.mark.parametrize("place", ["/proc/mlflow.db", "/proc/x/mlflow.db"])
def test_a_folder_where_nothing_can_be_made_takes_no_store(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}")
    assert "cannot be used: /proc: " in refusal()


def test_a_folder_that_can_be_made_has_no_obstacle_and_nothing_is_left(tmp_path: Path) -> None:
    assert writable.obstacle(tmp_path / "deep" / "deeper") is None
    assert writable.obstacle(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_on_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = writable.obstacle(tmp_path / "file" / "deeper")
    assert found is not None
    assert (found.errno, found.filename) == (errno.ENOTDIR, str(tmp_path / "file"))


def test_a_link_to_nowhere_is_named_itself(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    found = writable.obstacle(tmp_path / "link" / "deeper")
    assert found is not None
    assert (found.errno, found.filename) == (errno.ENOENT, str(tmp_path / "link"))
