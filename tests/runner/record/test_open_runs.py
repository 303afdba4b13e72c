"""Markers of open runs: what a living process leaves, and what a killed one left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.record import open_runs

RUN = "0123456789abcdef0123456789abcdef"


def test_a_marker_of_a_killed_process_is_found(tmp_path: Path) -> None:
    left = open_runs.write_marker(tmp_path / "inner", "0123456789abcdef0123456789abcdef")
    assert left is not None
    owner = json.loads(left.read_text())
    left.write_text(json.dumps({**owner, "started": "0"}))
    assert list(open_runs.abandoned_markers(tmp_path)) == [left]


def test_a_marker_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    assert open_runs.write_marker(tmp_path, RUN) == tmp_path / ".runs" / RUN
    assert list(open_runs.abandoned_markers(tmp_path)) == []


@pytest.mark.parametrize("run_id", ["", "../other", "a/b", ".hidden"])
def test_what_is_no_id_of_a_run_leaves_no_marker(tmp_path: Path, run_id: str) -> None:
    assert open_runs.write_marker(tmp_path, run_id) is None
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_cannot_be_written_is_not_this_modules_to_report(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert open_runs.write_marker(tmp_path / "file" / "spool", RUN) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"pid": 1}', '{"pid": 1, "colour": "red"}'])
def test_a_marker_that_names_no_process_is_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / ".runs").mkdir()
    (tmp_path / ".runs" / RUN).write_text(content)
    assert list(open_runs.abandoned_markers(tmp_path)) == []
