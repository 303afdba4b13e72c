"""Counts and the time that is left, while a study is measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from runner.launch.session import Finished, Settings
from runner.plan.request import Request
from runner.study.cellseries import CellSeries
from runner.study.standing import MISSING, Standing
from runner.study.tally import Tally
from tests.support.derive import typed
from tests.support.displays import Seen
from tests.support.fakesession import measured
from tests.support.records import failed_record
from tests.support.studies import entry, planned

SETTINGS = Settings(Path("spool"), None, None, False, 60.0, Seen())


class Measured(CellSeries):
    """A series whose sessions were measured elsewhere."""

    def ends(self, seconds: float) -> None:
        self._missing, self._session_s = self._missing - 1, seconds


def series_of(missing: int, session_s: float | None) -> tuple[Measured, Standing]:
    cell = planned(entry())
    return Measured(Request(), missing, 0, session_s, SETTINGS), Standing(cell, MISSING, 0, missing, None, session_s)


def lasting(seconds: float, valid: bool = True) -> Finished:
    record = measured(valid)
    return Finished(replace(record, cost_s=replace(record.cost_s, total=seconds)), Path("r.json"))


def test_sessions_are_counted_and_the_time_is_that_of_the_same_cell() -> None:
    (first, _), (second, _) = planned_series = [series_of(2, 30.0), series_of(3, None)]
    tally = Tally(planned_series)
    assert (tally.total, tally.position, tally.left_s()) == (5, "1/5", None)
    assert tally.text == "0 done, 0 failed, 5 left"
    first.ends(20.0)
    tally.add(first, lasting(20.0))
    # 1 · 20 s, and 3 · the mean of what was measured
    assert (tally.left_s(), tally.position) == (80.0, "2/5")
    assert tally.text == "1 done, 0 failed, 4 left, about 1 min 20 s"
    second.ends(40.0)
    tally.add(second, lasting(40.0, valid=False))
    # 1 · 20 s + 2 · 40 s
    assert tally.text == "1 done, 1 failed, 3 left, about 1 min 40 s"


def test_a_series_that_failed_has_nothing_left() -> None:
    (first, _), _ = planned_series = [series_of(2, 30.0), series_of(1, 10.0)]
    tally = Tally(planned_series)
    first.ends(0.0)
    tally.add(first, Finished(typed(failed_record("oom")), Path("r.json")))
    assert tally.text == "0 done, 1 failed, 1 left, about 10 s"


def test_nothing_is_said_about_the_time_at_the_end() -> None:
    ((first, _),) = planned_series = [series_of(1, 30.0)]
    tally = Tally(planned_series)
    first.ends(20.0)
    tally.add(first, lasting(20.0))
    assert (tally.text, tally.left_s()) == ("1 done, 0 failed, 0 left", 0.0)
