"""Fixtures that tests of several modules of analysis share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

RECORDS = Path(__file__).parents[2] / "experiments" / "records"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The folder of the committed A/B at ctx 2048, to be damaged."""
    (source,) = (RECORDS / "h200").glob("ab-qwen2.5-7b-2048-eager-graph-*")
    return Path(shutil.copytree(source, tmp_path / source.name))
