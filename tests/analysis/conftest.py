"""Fixtures that tests of several modules of analysis share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import committed

RECORDS = Path(__file__).parents[2] / "experiments" / "records"


@pytest.fixture(autouse=True, scope="session")
def _committed_records_are_read_once() -> Iterator[None]:
    with committed.read_once():
        yield


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The folder of the committed A/B at ctx 2048, to be damaged."""
    (source,) = (RECORDS / "h200").glob("ab-qwen2.5-7b-2048-eager-graph-*")
    return Path(shutil.copytree(source, tmp_path / source.name))
