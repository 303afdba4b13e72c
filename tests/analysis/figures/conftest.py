"""The rows that the figures of the committed records draw."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis import ab, registry
from analysis.ab import Measured
from analysis.sources.frame import Frame
from analysis.sources.records import Folder
from analysis.tables import floor
from analysis.tables._floorrow import FloorRow

RECORDS = Path(__file__).parents[3] / "experiments" / "records" / "h200"


@pytest.fixture(scope="session")
def source() -> Folder:
    return Folder(RECORDS)


@pytest.fixture(scope="session")
def frame(source: Folder) -> Frame:
    return source.frame(registry.metrics())


@pytest.fixture(scope="session")
def floor_rows(frame: Frame) -> list[FloorRow]:
    return floor.rows(frame)


@pytest.fixture(scope="session")
def measured(frame: Frame) -> list[Measured]:
    return ab.from_frame(frame)[0]
