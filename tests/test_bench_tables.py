"""The benchmark of the tables, on a small store; and the page that shows the committed one."""

import json
import subprocess
import sys
from pathlib import Path

from tests import bench_tables

ROOT = Path(__file__).parents[1]
COMMITTED = ROOT / "docs" / "scale"


def test_the_page_is_rendered_from_the_figures():
    page = (ROOT / "docs" / "scale.md").read_text()
    for path in COMMITTED.glob("*.json"):
        assert bench_tables.markdown(json.loads(path.read_text())) in page


def test_the_committed_figures_meet_the_targets_at_100_000_runs():
    for path in COMMITTED.glob("*.json"):
        found = json.loads(path.read_text())
        assert max(row["runs"] for row in found["tables"]) == 100_000
        assert {row["store"] for row in found["tables"]} == {"sqlite", "postgresql"}
        assert bench_tables.misses(found) == []
        assert all(row["search_runs_s"] > 10 * row["ours_s"] for row in found["search_runs"])


def test_a_missed_target_is_named():
    row = {"store": "postgresql", "runs": 100, "table": "floor", "first_s": 3.5, "again_s": 0.5, "peak_bytes": 2e9}
    assert bench_tables.misses({"tables": [row]}) == [
        "postgresql floor: first_s 3.5, at most 3",
        "postgresql floor: peak_bytes 2e+09, at most 1.5e+09",
    ]


def test_the_growth_is_the_power_of_the_number_of_runs():
    rows = [
        {"store": "sqlite", "table": "floor", "runs": 1000, "first_s": 0.5},
        {"store": "sqlite", "table": "floor", "runs": 10_000, "first_s": 5.0},
    ]
    # ten times as many take ten times as long: 10^1
    assert bench_tables._growth(rows[1], rows) == "1.00"
    assert bench_tables._growth(rows[0], rows) == "–"


def test_it_runs_from_nothing(tmp_path):
    arguments = [str(tmp_path), "--sizes", "1000", "--out", str(tmp_path / "o.json")]
    command = [sys.executable, "-m", "tests.bench_tables", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [row["table"] for row in json.loads((tmp_path / "o.json").read_text())["tables"]] == list(
        bench_tables.TABLES
    )
