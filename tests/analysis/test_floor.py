"""The floor table from record files."""

import json
import subprocess
import sys
from pathlib import Path

from analysis import floor, intervals, sessions
from tests.records import example_record

ROOT = Path(__file__).parents[2]
ROW_FIELDS = {
    *("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "sessions", "valid", "flags"),
    *("step_wall_ms", "step_wall_ms_low", "step_wall_ms_high"),
    *("floor_ms", "r_floor", "r_floor_paper", "r_floor_achievable"),
}


def test_three_sessions_show_their_range():
    (row,) = floor.rows([example_record(step_ms=ms) for ms in (30.0, 36.0, 33.0)])
    steps = sorted(example_record(step_ms=ms)["latency"]["step_wall_ms"] for ms in (30.0, 33.0, 36.0))
    assert row["sessions"] == 3
    assert row["interval"] == "range"
    assert [row["step_wall_ms_low"], row["step_wall_ms"], row["step_wall_ms_high"]] == steps
    assert row.keys() >= ROW_FIELDS


def test_five_sessions_have_an_interval_within_their_range():
    low, high, kind = intervals.of_sessions([1.0, 1.1, 1.2, 1.3, 1.4, 1.5])
    assert kind == "ci95"
    assert 1.0 <= low < high <= 1.5


def test_invalid_sessions_never_enter_a_valid_row():
    bad = example_record(step_ms=1e-3)
    bad["gate"]["checks"][0]["errors"][0] = 1.0
    from runner import judgement

    judgement.judge(bad)
    table = floor.rows([example_record(), bad])
    assert [row["valid"] for row in table] == [True, False]
    assert table[0]["sessions"] == 1
    assert "Invalid, 1 sessions" in floor.markdown(table)


def test_of_two_codes_the_newest_is_shown():
    old, new = example_record(step_ms=50.0), example_record(step_ms=40.0)
    new["keys"]["code_key"] = "f" * 12
    new["session"]["started_ms"] += 1
    (group,) = sessions.group([new, old])
    assert group == [new]


def test_the_readmes_table_is_what_the_command_prints():
    command = [sys.executable, "-m", "analysis", "floor", "--records", "experiments/records", "--format", "md"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed in (ROOT / "README.md").read_text()


def test_all_twelve_cells_have_three_sessions():
    command = [sys.executable, "-m", "analysis", "floor", "--format", "json"]
    rows = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert [(row["sessions"], row["valid"]) for row in rows] == [(3, True)] * 12


def test_a_folder_without_records_is_one_line(tmp_path):
    command = [sys.executable, "-m", "analysis", "floor", "--records", str(tmp_path)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 24
    assert finished.stderr.count("\n") == 1
