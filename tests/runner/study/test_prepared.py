"""A study as it stands by the spool, and the series of its missing sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.ab.pairseries import PairSeries
from runner.errors import BadPair
from runner.launch.session import Settings
from runner.machine import nvml
from runner.study import prepared, studystate
from runner.study.cellseries import CellSeries
from runner.study.declared import Arms
from runner.study.machines import ThisMachine
from runner.study.recorded import known as spool_known
from runner.study.recorded.known import Found, Unreadable
from runner.study.recorded.today import Today
from runner.study.standing import DONE, FAILED, MISSING, UNFIT
from tests.support.displays import Seen
from tests.support.studies import entry, failed, known, planned, study

CELL = planned(entry())


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Sessions that the spool has."""
    sessions: list[Any] = []
    monkeypatch.setattr(
        spool_known, "read", lambda _: Found(tuple(sessions), (Unreadable(tmp_path / "x.json", "torn"),))
    )
    monkeypatch.setattr(Today, "difference", lambda *_: None)
    monkeypatch.setattr(nvml, "list_gpus", lambda: ())
    return sessions


def series_of(found: prepared.Prepared, folder: Path) -> list[Any]:
    settings = Settings(folder, None, None, False, 60.0, Seen())
    return [series for series, _ in prepared.missing_series(found, settings)]


def test_a_study_is_as_far_as_the_spool_says(tmp_path: Path, spool: list[Any]) -> None:
    spool += [known(CELL, 1), known(CELL, 2)]
    found = prepared.prepare(study(entry()), tmp_path, ThisMachine(), redo=False, retry=False)
    (standing,) = found.standings
    assert (standing.status, standing.done, standing.missing) == (MISSING, 2, 1)
    assert (found.changes, found.unreadable[0].reason) == ((), "torn")
    (series,) = series_of(found, tmp_path)
    assert isinstance(series, CellSeries)
    assert series.remaining() == 1


def test_a_redo_counts_no_earlier_session(tmp_path: Path, spool: list[Any]) -> None:
    spool += [known(CELL, at) for at in range(3)]
    studystate.write(tmp_path, studystate.state_of(study(entry())))
    assert (
        prepared.prepare(study(entry()), tmp_path, ThisMachine(), redo=False, retry=False).standings[0].status == DONE
    )
    anew = prepared.prepare(study(entry()), tmp_path, ThisMachine(), redo=True, retry=False)
    assert (anew.study.name, anew.state.rounds, anew.standings[0].missing) == ("s.2", 2, 3)
    assert anew.entries[0].plans[0].study == "s.2"
    studystate.write(tmp_path, anew.state)
    spool.append(known(CELL, 9, study="s.2"))
    assert prepared.prepare(study(entry()), tmp_path, ThisMachine(), redo=False, retry=False).standings[0].missing == 2


def test_a_changed_file_is_told(tmp_path: Path, spool: list[Any]) -> None:
    assert spool == []
    studystate.write(tmp_path, studystate.state_of(study(entry(), sessions=2)))
    assert prepared.prepare(study(entry()), tmp_path, ThisMachine(), redo=False, retry=False).changes == (
        "sessions: 3, was 2",
    )


def test_arms_give_a_series_of_an_ab(tmp_path: Path, spool: list[Any]) -> None:
    assert spool == []
    found = prepared.prepare(
        study(entry(Arms("cache", "dynamic", "static"))), tmp_path, ThisMachine(), redo=False, retry=False
    )
    (series,) = series_of(found, tmp_path)
    assert isinstance(series, PairSeries)
    assert series.planned == 3


def test_a_failed_cell_has_no_series_unless_it_is_tried_again(tmp_path: Path, spool: list[Any]) -> None:
    spool.append(failed(CELL, "worker-failed"))
    assert series_of(prepared.prepare(study(entry()), tmp_path, ThisMachine(), redo=False, retry=False), tmp_path) == []
    assert (
        len(series_of(prepared.prepare(study(entry()), tmp_path, ThisMachine(), redo=False, retry=True), tmp_path)) == 1
    )


def test_a_cell_that_does_not_fit_gets_one_record_that_says_so(
    tmp_path: Path, spool: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.machine.host.memory_bytes", lambda: 10**8)
    found = prepared.prepare(study(entry()), tmp_path, ThisMachine(), redo=False, retry=False)
    assert found.standings[0].status == UNFIT
    (series,) = series_of(found, tmp_path)
    assert series.remaining() == 1
    spool.append(failed(CELL, "infeasible"))
    assert series_of(prepared.prepare(study(entry()), tmp_path, ThisMachine(), redo=False, retry=False), tmp_path) == []


def test_an_entry_whose_sessions_ended_with_an_error_has_failed(tmp_path: Path, spool: list[Any]) -> None:
    assert spool == []
    before = prepared.prepare(study(entry(), entry(ctx="65")), tmp_path, ThisMachine(), redo=False, retry=False)
    after = prepared.again(before, tmp_path, [(before.entries[1], BadPair("the code has changed"))])
    assert [(each.status, each.reason) for each in after.standings] == [
        (MISSING, None),
        (FAILED, "bad-pair: the code has changed"),
    ]
