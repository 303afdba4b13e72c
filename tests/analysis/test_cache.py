"""The cache: it is kept if there is a place for it, and ignored if it is damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from analysis import cache
from tests.support.damaged import DEEP


def test_a_cache_that_is_another_users_is_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    entry = cache.entry_path("comparisons", "x")
    entry.parent.mkdir(parents=True)
    os.mkfifo(entry)
    assert cache.load_json(entry) is None  # and nobody waits for the pipe's other end


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache.entry_path("toys", "one")


def test_what_was_kept_is_loaded_and_nothing_else_lies_beside_it(place: Path) -> None:
    assert cache.load_json(place) is None
    cache.keep_json(place, {"ms": [1.5, None]}, at_most=2)
    assert cache.load_json(place) == {"ms": [1.5, None]}
    assert list(place.parent.iterdir()) == [place]
    place.write_text("{")
    assert cache.load_json(place) is None


def test_only_the_newest_entries_of_a_folder_stay(place: Path) -> None:
    place.parent.mkdir(parents=True)
    for second, name in enumerate(("oldest", "older", "old")):
        (place.parent / name).mkdir()
        os.utime(place.parent / name, (second, second))
    cache.keep_json(place, 1, at_most=2)
    assert {path.name for path in place.parent.iterdir()} == {"one", "old"}


def test_an_entry_that_cannot_be_made_leaves_nothing_behind(place: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("no space")

    cache.keep(place, fail, at_most=2)
    assert list(place.parent.iterdir()) == []


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "no-absolute-path")
    entry = cache.entry_path("toys", "one")
    cache.keep_json(entry, 1, at_most=2)
    assert cache.load_json(entry) is None
    assert entry.is_relative_to(os.devnull)


def test_other_code_has_another_hash(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("1 + 1\n")
    before = cache.code([source])
    assert cache.code([source]) == before
    source.write_text("1 - 1\n")
    assert cache.code([source]) != before


@pytest.mark.parametrize("text", DEEP)
def test_an_entry_that_is_nested_too_deeply_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "entry").write_text(text)
    assert cache.load_json(tmp_path / "entry") is None
