"""A right checkpoint of the model tiny."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import checkpoints


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return checkpoints.write(tmp_path / "tiny")
