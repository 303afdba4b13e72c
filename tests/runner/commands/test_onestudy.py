"""One study: what is printed of its plan, of its sessions as they end, and of their result."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runner.commands import comparing
from tests.support import standins
from tests.support.processes import Main
from tests.support.studies import write

CELLS = """
    sessions: 2
    matrix: {gpu: cpu, model: tiny, ctx: [64, 128], cache: static}
"""
PAIRS = """
    sessions: 1
    matrix: {gpu: cpu, model: tiny, ctx: 64}
    arms: {a: {cache: dynamic}, b: {cache: static}}
"""


@pytest.mark.medium
def test_a_dry_run_prints_the_cells_and_measures_nothing(main: Main, worker: standins.Worker, tmp_path: Path) -> None:
    file = write(tmp_path, CELLS)
    code, out, _ = main("study", "--dry-run", str(file), "--spool", "spool")
    assert code == 0
    assert out.splitlines()[:2] == ["s: 2 cells: 2 missing", "  missing   2 cells on cpu: 4 sessions, time unknown"]
    assert "missing       0/2  unknown  tiny 128 bf16 eager static cpu" in out
    assert (worker.count, Path("spool").exists()) == (0, False)


@pytest.mark.medium
def test_a_study_is_measured_once(main: Main, worker: standins.Worker, tmp_path: Path) -> None:
    file = write(tmp_path, CELLS)
    code, out, _ = main("study", str(file), "--spool", "spool")
    assert (code, worker.count) == (0, 4)
    shown = out.splitlines()
    assert shown[2].startswith("1  tiny 64 bf16 eager static cpu  ")
    assert "1 done, 0 failed, 3 left, about " in shown[2]
    assert "4 done, 0 failed, 0 left" in shown[5]
    assert shown[6:8] == ["s: 2 cells: 2 done", "  done      2 cells, 4 sessions"]
    assert re.match(r"  cost      \d+\.\d s per session \(mean of 4 sessions\): \d+\.\d s fixed", shown[8])
    code, out, _ = main("study", str(file), "--spool", "spool")
    assert (code, worker.count) == (0, 4)
    assert out.splitlines()[0] == "s: 2 cells: 2 done"


@pytest.mark.medium
def test_a_failed_cell_is_remembered_and_only_tried_again_when_asked(
    main: Main, worker: standins.Worker, tmp_path: Path
) -> None:
    file = write(tmp_path, CELLS)
    worker.fates = {0: standins.fail}
    code, out, err = main("study", str(file), "--spool", "spool")
    assert (code, worker.count) == (30, 3)
    assert "failed: tiny 64 bf16 eager static cpu: " in out
    assert err.splitlines()[-1] == "error: 1 cell failed: see the lines above; --retry-failed measures again"
    code, again, _ = main("study", str(file), "--spool", "spool")
    assert (code, worker.count) == (30, 3)
    assert "failed: tiny 64 bf16 eager static cpu: worker-failed: the worker was killed by SIGSEGV" in again
    assert main("study", str(file), "--spool", "spool", "--retry-failed")[0] == 0
    assert worker.count == 5


@pytest.mark.medium
def test_a_changed_file_is_told_and_its_new_cells_are_measured(
    main: Main, worker: standins.Worker, tmp_path: Path
) -> None:
    main("study", str(write(tmp_path, CELLS)), "--spool", "spool")
    code, _, err = main("study", str(write(tmp_path, CELLS.replace("128", "128, 256"))), "--spool", "spool")
    assert (code, worker.count) == (0, 6)
    assert "note: s has changed since it was measured: added: gpu=cpu model=tiny ctx=256 cache=static" in err


@pytest.mark.medium
def test_arms_are_measured_in_turns_and_their_comparison_is_named(
    main: Main, worker: standins.Worker, tmp_path: Path
) -> None:
    code, out, _ = main("study", str(write(tmp_path, PAIRS)), "--spool", "spool")
    assert (code, worker.count) == (0, 2)
    assert "s: 1 A/B: 1 missing" in out
    assert "1  A/B dynamic/static tiny 64 bf16 eager cpu, dynamic  " in out
    assert "2  A/B dynamic/static tiny 64 bf16 eager cpu, static  " in out
    (folder,) = Path("spool").glob("ab-*")
    assert f"compare the arms with: {comparing.command(folder)}" in out
    assert main("study", str(write(tmp_path, PAIRS)), "--spool", "spool")[0] == 0
    assert worker.count == 2
