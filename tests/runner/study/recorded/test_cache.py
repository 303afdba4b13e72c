"""A value that a command keeps for the next one is read as it was written, or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from runner.errors import DiskFull
from runner.study.recorded import cache

VALUE = {"a": [1, 2.5, None, "ü"], "b": {}}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / ".kept"
    cache.write(path, "form 1", VALUE)
    return path


def test_a_value_is_read_as_it_was_written(kept: Path) -> None:
    assert cache.read(kept, "form 1") == VALUE
    assert [path.name for path in kept.parent.iterdir()] == [".kept"]


def test_a_value_of_another_form_is_none(kept: Path) -> None:
    assert cache.read(kept, "form 2") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data.replace(b"2.5", b"3.5"),
        lambda data: data[1:],
        lambda data: data.replace(b"\n", b""),
        lambda _data: b"",
        lambda data: data + b"\xff",
        lambda data: b"\x00" * len(data),
    ],
)
def test_a_damaged_file_is_as_good_as_none(kept: Path, damage: object) -> None:
    assert callable(damage)
    kept.write_bytes(damage(kept.read_bytes()))
    assert cache.read(kept, "form 1") is None


def test_what_is_no_file_is_as_good_as_none(tmp_path: Path) -> None:
    assert cache.read(tmp_path / "missing", "form 1") is None
    assert cache.read(tmp_path, "form 1") is None
    os.mkfifo(tmp_path / "pipe")
    assert cache.read(tmp_path / "pipe", "form 1") is None


@pytest.mark.parametrize("error", [OSError(errno.EROFS, "read-only"), DiskFull("no space left")])
def test_a_file_that_cannot_be_written_is_no_error(
    kept: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(cache, "write_text_durably", refuse)
    cache.write(kept, "form 1", {})
    assert cache.read(kept, "form 1") == VALUE


def test_a_folder_in_its_place_is_no_error(tmp_path: Path) -> None:
    (tmp_path / ".kept" / "inside").mkdir(parents=True)
    cache.write(tmp_path / ".kept", "form 1", VALUE)
    assert cache.read(tmp_path / ".kept", "form 1") is None
    assert [path.name for path in tmp_path.iterdir()] == [".kept"]
