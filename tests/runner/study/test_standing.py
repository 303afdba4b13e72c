"""How far an entry is: what counts, what is missing, and why it is not measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.ab import manifest
from runner.ab.manifest import Block, SessionEntry
from runner.machine import host
from runner.plan.request import Request
from runner.plan.sessionplan import Plan
from runner.study.declared import Arms
from runner.study.machines import ThisMachine
from runner.study.planned import Planned
from runner.study.recorded.known import Known
from runner.study.recorded.spooled import SpooledSessions
from runner.study.standing import DONE, FAILED, MISSING, UNFIT, WAITING, Situation, Standing, standings
from tests.support.studies import CODE, entry, failed, known, planned, study

HERE, CACHES = host.host_id(None), Arms("cache", "dynamic", "static")


class Today:
    """Stands in for `today.Today`: sessions of another code are not of today."""

    def difference(self, session: Known, _request: Request, _plan: Plan) -> str | None:
        return None if session.code_key == CODE else "the project's code has changed since"


def standing(of: Planned, *sessions: Known, spool: Path = Path("spool"), count: int = 3, **changes: Any) -> Standing:
    situation = Situation(spool, SpooledSessions(sessions), Today(), ThisMachine(()), **changes)
    (found,) = standings(study(of.entry, sessions=count), [of], situation)
    return found


@pytest.fixture
def cell() -> Planned:
    return planned(entry())


def test_a_cell_without_sessions_misses_all(cell: Planned) -> None:
    assert standing(cell) == Standing(cell, MISSING, 0, 3)


def test_finished_sessions_are_not_missing(cell: Planned) -> None:
    found = standing(cell, known(cell, 1, index=0), known(cell, 2, index=4))
    assert (found.status, found.done, found.missing, found.session_s, found.next_index) == (MISSING, 2, 1, 20.0, 5)
    assert standing(cell, *(known(cell, at) for at in range(3))).status == DONE
    assert standing(cell, *(known(cell, at) for at in range(4))).missing == 0


def test_sessions_of_other_code_do_not_count(cell: Planned) -> None:
    found = standing(cell, *(known(cell, at, code_key="old") for at in range(3)), known(cell, 9))
    assert (found.status, found.done, found.missing, found.outdated) == (MISSING, 1, 2, 3)


def test_a_session_that_is_not_valid_is_not_measured_again(cell: Planned) -> None:
    invalid = known(cell, 2, valid=False, reasons=("gate ctx: logit error 1 exceeds the bound 0.03",))
    found = standing(cell, known(cell, 1), invalid)
    assert (found.status, found.done, found.missing) == (MISSING, 1, 1)
    whole = standing(cell, known(cell, 1), invalid, known(cell, 3))
    assert (whole.status, whole.missing, whole.lost) == (FAILED, 0, 1)
    assert whole.reason == "1 session not valid: gate ctx: logit error 1 exceeds the bound 0.03"
    again = standing(cell, known(cell, 1), invalid, known(cell, 3), retry=True)
    assert (again.status, again.done, again.missing) == (MISSING, 2, 1)


def test_a_failed_cell_is_remembered_with_its_reason(cell: Planned) -> None:
    crash = failed(cell, "worker-failed", 2)
    found = standing(cell, known(cell, 1), crash)
    assert (found.status, found.reason, found.is_recorded) == (FAILED, "worker-failed: because of worker-failed", True)
    assert standing(cell, known(cell, 1), crash, retry=True).status == MISSING
    assert standing(cell, failed(cell, "interrupted")).status == MISSING


def test_a_round_counts_only_its_own_sessions(cell: Planned) -> None:
    sessions = [known(cell, 1), known(cell, 2, study="s.2"), known(cell, 3, study="other")]
    assert standing(cell, *sessions).done == 3
    anew = standing(cell, *sessions, round_tag="s.3")
    assert (standing(cell, *sessions, round_tag="s.2").done, anew.done, anew.session_s) == (1, 0, 20.0)


def test_a_cell_without_energy_takes_no_time_for_it() -> None:
    measured = {"cost_s": {"total": 72.0, "energy": 46.0}, "energy": True}
    of = planned(entry(gpu="cpu"))
    assert standing(of, known(of, 1, **measured)).session_s == 26.0
    with_energy = replace(of, plans=tuple(replace(plan, energy=True) for plan in of.plans))
    assert standing(with_energy, known(of, 1, **measured)).session_s == 72.0


def test_an_ab_may_take_as_long_as_earlier_sessions_of_its_cells() -> None:
    of = planned(entry(CACHES))
    sessions = [known(of, 1, cost_s={"total": 9.0}), known(of, 2, cell_key=of.keys[1])]
    assert standing(of, *sessions, spool=Path("none")).session_s == 20.0


def test_a_cell_of_another_gpu_waits_unless_its_records_are_here() -> None:
    away = planned(entry(gpu="l4", model="qwen2.5-7b"))
    assert standing(away) == Standing(away, WAITING, 0, 3, "no l4 here")
    some = standing(away, known(away, 1, code_key="old"), known(away, 2), known(away, 3))
    assert (some.status, some.done, some.missing) == (WAITING, 2, 1)
    assert standing(away, *(known(away, at) for at in range(3))).status == DONE


def test_a_cell_that_does_not_fit_is_told_wherever_its_gpu_is() -> None:
    large = planned(entry(gpu="l4", model="llama-3.1-8b", ctx="100000"))
    found = standing(large)
    assert (found.status, found.reason) == (UNFIT, large.obstacle)
    unknown = replace(large, plans=(), keys=())
    assert standing(unknown).reason == "no l4 here"
    arms = replace(unknown, entry=replace(unknown.entry, arms=CACHES))
    assert (standing(unknown).missing, standing(arms).missing) == (3, 6)


def pair_in(folder: Path, order: str, measured: str, valid: bool = True) -> tuple[Planned, Path]:
    """An A/B whose manifest has one block with these sessions."""
    of = planned(entry(CACHES))
    assert of.pair is not None
    declared = manifest.declare(of.pair, 1, 0)
    path = manifest.folder_of(folder, declared)
    sessions = tuple(
        SessionEntry(index, arm, f"{index:016x}", f"{index}.json", valid, 0.0) for index, arm in enumerate(measured)
    )
    manifest.write(replace(declared, blocks=(Block(HERE, order, sessions),)), path)
    return of, path


@pytest.mark.parametrize(("measured", "status", "done"), [("a", MISSING, 1), ("ab", DONE, 2)])
def test_an_ab_is_as_far_as_its_manifest(tmp_path: Path, measured: str, status: str, done: int) -> None:
    of, _ = pair_in(tmp_path, "ab", measured)
    found = standing(of, spool=tmp_path, count=1)
    assert (found.status, found.done, found.missing) == (status, done, 2 - done)


def test_an_ab_with_a_failed_session_is_not_continued_unless_asked(tmp_path: Path) -> None:
    of, path = pair_in(tmp_path, "ab", "a")
    crash = failed(of, "worker-failed", folder=path)
    found = standing(of, crash, spool=tmp_path, count=1)
    assert (found.status, found.reason) == (FAILED, "worker-failed: because of worker-failed")
    assert standing(of, crash, spool=tmp_path, count=1, retry=True).status == MISSING
    assert standing(of, crash, known(of, 5, folder=path), spool=tmp_path, count=1).status == MISSING


def test_an_ab_with_a_session_that_is_not_valid_has_failed(tmp_path: Path) -> None:
    of, _ = pair_in(tmp_path, "ab", "a", valid=False)
    found = standing(of, spool=tmp_path, count=1)
    assert found.status == FAILED
    assert found.reason == f"session {0:016x} of arm a is not valid, or cannot be compared"


def test_a_damaged_manifest_fails_its_entry_alone(tmp_path: Path) -> None:
    of, path = pair_in(tmp_path, "ab", "a")
    (path / "ab.json").write_text("{")
    found = standing(of, spool=tmp_path, count=1)
    assert found.status == FAILED
    assert "not a manifest of an A/B" in (found.reason or "")
