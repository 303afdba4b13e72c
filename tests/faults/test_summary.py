"""The table of a log of fault points."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults import summary
from tests.faults.points import CHEAP, KINDS, POINTS
from tests.faults.scene import ROOT

LOG = ROOT / "docs" / "evidence" / "faults" / "two-cores.jsonl"


def line(kind: str, point: int, held: bool = True, sessions: int = 2, seconds: float = 10.4) -> dict[str, object]:
    return {"kind": kind, "point": point, "seed": "1", "held": held, "sessions": sessions, "seconds": seconds}


def test_a_row_counts_the_points_of_a_kind_and_the_last_run_of_each(tmp_path: Path) -> None:
    lines = [line("disk full", 1, held=False), line("killed", 1, seconds=12), line("disk full", 1), line("killed", 2)]
    (tmp_path / "log").write_text("\n".join(map(json.dumps, lines)))
    assert [*summary.table(summary.read(tmp_path / "log"))][2:] == [
        "| disk full | 1 | 1 | 2 | 10 |",
        "| killed | 2 | 2 | 4 | 12 |",
        "| all | 3 | 3 | 6 | 12 |",
    ]


def test_the_committed_log_has_every_point_and_all_held() -> None:
    found = summary.read(LOG)
    assert {(each["kind"], each["point"]) for each in found} == {(point.kind.name, point.number) for point in POINTS}
    assert [each for each in found if not each["held"]] == []


def test_there_are_fifty_points_and_the_cheap_ones_are_among_them() -> None:
    assert len(POINTS) >= 50
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert {str(point) for point in POINTS} >= CHEAP


@pytest.mark.medium
def test_the_page_names_every_kind() -> None:
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    assert [kind.name for kind in KINDS if kind.name not in page] == []
