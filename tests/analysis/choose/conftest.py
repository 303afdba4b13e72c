"""Readings of records for the choose table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from analysis.choose import recorded
from analysis.reading import Reading
from analysis.sources.records import Folder
from tests.support.reports import write_records


@pytest.fixture
def reading_of(tmp_path: Path) -> Callable[[Iterable[dict[str, Any]]], Reading]:
    def made(records: Iterable[dict[str, Any]]) -> Reading:
        source = Folder(write_records(tmp_path / "records", records))
        return Reading(source.frame(recorded.METRICS), source)

    return made
