"""Frames that were kept: taken for the same state and code only, and never when damaged."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from analysis.sources import cache as sources_cache
from analysis.sources import database
from analysis.sources.store import Store
from analysis.tables import budget, floor

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_an_unchanged_store_is_not_read_again(filled, monkeypatch):
    first = floor.rows(Store(filled).frame(floor.METRICS))

    def refuse(uri):
        raise AssertionError(f"{uri} was opened")

    monkeypatch.setattr(database, "opened", refuse)
    assert floor.rows(Store(filled).frame(floor.METRICS)) == first
    with pytest.raises(AssertionError):
        Store(filled).frame(budget.METRICS)  # other columns were not kept


@pytest.fixture
def of_a_new_process() -> Iterator[Callable[[], str]]:
    """The hash of the code as a process that starts now has it."""

    def code() -> str:
        sources_cache.code.cache_clear()
        return sources_cache.code()

    yield code
    sources_cache.code.cache_clear()


@pytest.mark.medium
def test_a_frame_that_other_code_made_is_not_taken(filled, tmp_path, monkeypatch, of_a_new_process):
    changed = tmp_path / "runs.py"
    known = list(sources_cache.sources())
    monkeypatch.setattr(sources_cache, "sources", lambda: [*known, changed])
    entries = []
    for text in ("one", "one", "another"):
        changed.write_text(text)
        of_a_new_process()
        entries.append(sources_cache.entry(filled, "state", "sessions", floor.METRICS))
    assert entries[0] == entries[1] != entries[2]


def test_the_code_of_a_frame_is_all_of_its_own_and_what_it_takes_of_the_runner():
    files = set(sources_cache.sources())
    assert set((ROOT / "analysis" / "sources").glob("*.py")) <= files
    assert set((ROOT / "runner").rglob("*.py")) <= files
    assert ROOT / "runner" / "record" / "bounds.yaml" in files


@pytest.mark.medium
def test_a_damaged_cache_is_none(filled, tmp_path):
    first = floor.rows(Store(filled).frame(floor.METRICS))
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        path.write_bytes(b"{")
    assert floor.rows(Store(filled).frame(floor.METRICS)) == first
