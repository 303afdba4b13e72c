"""Markers of open runs: what a living process leaves, and what a killed one left behind."""

from __future__ import annotations

import json
from pathlib import Path

from runner.record import open_runs


def test_a_marker_of_a_killed_process_is_found(tmp_path: Path) -> None:
    left = open_runs.leave(tmp_path / "inner", "0123456789abcdef0123456789abcdef")
    assert left is not None
    owner = json.loads(left.read_text())
    left.write_text(json.dumps({**owner, "started": "0"}))
    assert list(open_runs.left_behind(tmp_path)) == [left]
