"""The place of a record that is not written yet."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file in a spool that does not exist."""
    return tmp_path / "spool" / "record.json"
