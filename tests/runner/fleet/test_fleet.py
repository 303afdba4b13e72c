"""The place where a command measures, by the address that it names; and the command `study` on a fleet without Ray."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runner.errors import DecodeFloorError, Interrupted, NoFleet, OutOfMemory, Terminated
from runner.fleet import cluster, fleet
from runner.fleet.fleet import Fleet, site
from runner.study import studystate
from runner.study.site import Here
from tests.support import fleets, standins
from tests.support.processes import Main
from tests.support.studies import write

pytestmark = pytest.mark.medium
MIXED = """
    sessions: 2
    include:
      - {gpu: cpu, model: tiny, ctx: 64}
      - {gpu: [l4, rtx-4090], model: qwen2.5-7b, ctx: 2048}
"""
CELLS = """
    sessions: 2
    matrix: {gpu: cpu, model: tiny, ctx: [64, 128]}
"""
PAIRS = """
    sessions: 3
    matrix: {gpu: cpu, model: tiny, ctx: 64}
    arms: {a: {cache: dynamic}, b: {cache: static}}
"""


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> fleets.Fleet:
    """The fleet at every address."""
    one = fleets.Fleet()
    monkeypatch.setattr(cluster, "connected", one.connected)
    return one


def test_none_is_this_machine() -> None:
    with site(fleet.NONE) as here:
        assert isinstance(here, Here)


def test_an_address_is_a_fleet_that_takes_sessions(found: fleets.Fleet) -> None:
    with site("auto") as place:
        assert isinstance(place, Fleet)
    found.accelerators = None
    with pytest.raises(NoFleet), site("auto"):
        pass


def test_a_dry_run_says_which_cells_wait_and_why(main: Main, found: fleets.Fleet, tmp_path: Path) -> None:
    code, out, err = main("study", "--dry-run", "--fleet", "auto", str(write(tmp_path, MIXED)), "--spool", "spool")
    assert code == 0
    assert out.splitlines()[:3] == [
        "s: 3 cells: 1 missing, 2 waiting",
        "  missing   1 cell on cpu: 2 sessions, time unknown",
        "  waiting   2 cells: l4 1, rtx-4090 1",
    ]
    assert "waiting       0/2  unknown  qwen2.5-7b 2048 bf16 eager dynamic l4        no node of the fleet has l4" in out
    assert "note: Ray has no name for rtx-4090: measure it without --fleet" in err
    assert found.tasks == []


def test_a_study_is_measured_once_and_prints_the_same(
    main: Main, found: fleets.Fleet, worker: standins.Worker, tmp_path: Path
) -> None:
    file = write(tmp_path, CELLS)
    code, out, _ = main("study", str(file), "--fleet", "auto", "--spool", "spool")
    assert (code, worker.count) == (0, 4)
    shown = out.splitlines()
    assert shown[2].startswith("1  tiny 64 bf16 eager dynamic cpu  ")
    assert "1 done, 0 failed, 3 left, about " in shown[2]
    assert "4 done, 0 failed, 0 left" in shown[5]
    assert shown[6:8] == ["s: 2 cells: 2 done", "  done      2 cells, 4 sessions"]
    code, out, _ = main("study", str(file), "--fleet", "auto", "--spool", "spool")
    assert (code, worker.count, out.splitlines()[0]) == (0, 4, "s: 2 cells: 2 done")
    assert main("study", str(file), "--fleet", "auto", "--redo", "--spool", "spool")[0] == 0
    assert (worker.count, len(found.tasks)) == (8, 8)


def test_a_failed_cell_is_remembered_and_tried_again_when_asked(
    main: Main, found: fleets.Fleet, worker: standins.Worker, tmp_path: Path
) -> None:
    worker.fates = {0: OutOfMemory("the card is full")}
    file = write(tmp_path, CELLS)
    code, out, err = main("study", str(file), "--fleet", "auto", "--spool", "spool")
    assert (code, worker.count) == (30, 3)
    assert "failed: tiny 64 bf16 eager dynamic cpu: oom: node " in out
    assert "1 cell failed" in err
    assert main("study", str(file), "--fleet", "auto", "--retry-failed", "--spool", "spool")[0] == 0
    assert (worker.count, len(found.tasks)) == (5, 6)


def test_nothing_to_measure_is_said_as_without_a_fleet(main: Main, found: fleets.Fleet, tmp_path: Path) -> None:
    file = write(tmp_path, "matrix: {gpu: l4, model: qwen2.5-7b, ctx: 2048}")
    code, _, err = main("study", str(file), "--fleet", "auto", "--spool", "spool")
    assert code == 14
    assert "note: no node of the fleet has l4" in err
    assert found.tasks == []


def test_ctrl_c_and_the_time_limit_end_as_without_a_fleet(
    main: Main, found: fleets.Fleet, worker: standins.Worker, tmp_path: Path
) -> None:
    file = write(tmp_path, CELLS)
    worker.fates = {1: Interrupted("stopped by Ctrl-C")}
    code, _, err = main("study", str(file), "--fleet", "auto", "--spool", "spool")
    assert (code, err.splitlines()[-1]) == (130, "error: stopped by Ctrl-C; the same command continues")
    # the session of the first cell took 76 s, and those of the other are of unknown length
    code, _, err = main("study", str(file), "--fleet", "auto", "--spool", "spool", "--minutes", "1")
    assert (code, worker.count) == (30, 2 + 2)
    assert err.splitlines()[-1] == "error: 1 session is missing at the time limit: run the same command again"
    assert main("study", str(file), "--fleet", "auto", "--spool", "spool")[0] == 0
    assert (worker.count, len(list(Path("spool").glob("*.json")))) == (5, 4)
    assert len(found.tasks) == 4 + 3 + 1


def test_arms_are_compared_as_without_a_fleet(
    main: Main, found: fleets.Fleet, worker: standins.Worker, tmp_path: Path
) -> None:
    code, out, _ = main("study", str(write(tmp_path, PAIRS)), "--fleet", "auto", "--spool", "spool")
    assert (code, worker.count, len(found.tasks)) == (0, 6, 2)
    assert "1  A/B dynamic/static tiny 64 bf16 eager cpu, dynamic  " in out
    assert "5 left" in out
    (folder,) = Path("spool").glob("ab-*")
    assert f"compare the arms with: python -m analysis ab spool/{folder.name}" in out
    assert [len(block["sessions"]) for block in json.loads((folder / "ab.json").read_text())["blocks"]] == [4, 2]


def test_a_driver_that_is_killed_with_a_record_in_hand_stores_it_at_the_next_start(
    main: Main, found: fleets.Fleet, worker: standins.Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runner.fleet import arrivals

    stored = arrivals.committed

    def killed(*_: Any) -> None:
        raise Terminated("stopped by SIGTERM")

    monkeypatch.setattr(arrivals, "committed", killed)
    file = write(tmp_path, CELLS)
    assert main("study", str(file), "--fleet", "auto", "--spool", "spool")[0] == 143
    assert len(list(Path("spool", studystate.FOLDER, arrivals.FOLDER).iterdir())) == 1
    monkeypatch.setattr(arrivals, "committed", stored)
    code, out, err = main("study", str(file), "--spool", "spool", "--dry-run")
    assert (code, out.splitlines()[0]) == (0, "s: 2 cells: 2 missing")
    code, out, err = main("study", str(file), "--fleet", "auto", "--spool", "spool")
    assert (code, worker.count, len(found.tasks)) == (0, 4, 4 + 3)
    assert "note: stored 1 session that an earlier command had received" in err


@pytest.mark.usefixtures("found")
def test_sessions_that_an_earlier_command_left_are_not_called_stored_while_the_store_is_away(
    main: Main, worker: standins.Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, CELLS)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main("study", str(file), "--fleet", "auto")[0] == 21
    for _ in range(2):
        code, _, err = main("study", str(file), "--fleet", "auto")
        assert (code, worker.count) == (21, 4)
        assert "note: 4 sessions that an earlier command had received cannot be stored: the MLflow store" in err
        assert "note: stored" not in err
        assert err.splitlines()[-1].startswith("error: the MLflow store http://127.0.0.1:9 failed")


def test_without_a_cluster_one_line_says_what_to_do(
    main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def absent(_address: str) -> Iterator[None]:
        raise NoFleet("no Ray cluster at auto: start one")
        yield

    monkeypatch.setattr(cluster, "connected", absent)
    code, _, err = main("study", str(write(tmp_path, CELLS)), "--fleet", "auto", "--spool", "spool")
    assert (code, err.splitlines()) == (31, ["error: no Ray cluster at auto: start one"])
    assert issubclass(NoFleet, DecodeFloorError)


def test_cells_that_take_turns_are_measured_on_one_machine(
    main: Main, found: fleets.Fleet, worker: standins.Worker, tmp_path: Path
) -> None:
    file = write(tmp_path, f"{CELLS}    order: interleaved\n")
    code, _, err = main("study", str(file), "--fleet", "auto", "--spool", "spool")
    assert (code, worker.count, found.tasks) == (13, 0, [])
    assert (
        err.splitlines()[-1] == "error: order: interleaved needs one machine: measure this study there, without --fleet"
    )
