"""Temporary folders are gone with all that is in them, and one line says where none can be made."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from runner.errors import BadValue
from runner.files import scratch


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that TMPDIR names; the module remembers the one that it once chose."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_a_folder_lies_where_tmpdir_says_and_is_gone_afterwards(place: Path) -> None:
    with scratch.folder() as made:
        assert made.parent == place
        (made / "inner").mkdir()
        (made / "inner" / "file").write_text("x")
    assert list(place.iterdir()) == []


def test_it_is_gone_after_a_failure_too(place: Path) -> None:
    with pytest.raises(KeyError), scratch.folder():
        raise KeyError
    assert list(place.iterdir()) == []


def test_two_have_nothing_in_common(place: Path) -> None:
    with scratch.folder() as one, scratch.folder() as other:
        assert {one, other} == set(place.iterdir())


def test_where_none_can_be_made_one_line_says_what_to_do(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place / "not-there"))
    with pytest.raises(BadValue) as caught, scratch.folder():
        pytest.fail("went on")
    said = "(No such file or directory): free space, or set TMPDIR to a writable folder"
    assert str(caught.value) == f"no temporary folder can be created {said}"
