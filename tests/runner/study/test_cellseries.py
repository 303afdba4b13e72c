"""The sessions of one cell, one after the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.errors import InvalidSession, OutOfMemory
from runner.launch.session import Finished, Settings
from runner.plan.request import Request
from runner.study import cellseries
from runner.study.cellseries import CellSeries
from tests.support.displays import Seen
from tests.support.fakesession import measured

SETTINGS = Settings(Path("spool"), None, None, False, 60.0, Seen())


def test_sessions_are_numbered_on_and_each_tells_how_long_the_next_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []

    def run_session(*arguments: Any) -> Finished:
        calls.append(arguments)
        record = measured()
        return Finished(replace(record, cost_s=replace(record.cost_s, total=12.0)), Path("r.json"))

    monkeypatch.setattr(cellseries, "run_session", run_session)
    series = CellSeries(Request(gpu="cpu"), 2, 5, None, SETTINGS)
    with series.opened():
        assert (series.remaining(), series.expected_s()) == (2, None)
        series.measure()
        assert (series.remaining(), series.expected_s()) == (1, 12.0)
        series.measure()
    assert series.remaining() == 0
    assert [(request.gpu, index, settings) for request, index, _, settings in calls] == [
        ("cpu", 5, SETTINGS),
        ("cpu", 6, SETTINGS),
    ]


def test_only_a_session_that_is_not_valid_may_be_followed_by_another() -> None:
    series = CellSeries(Request(gpu="cpu"), 2, 0, None, SETTINGS)
    assert not series.ends_with(InvalidSession("the gate"))
    assert series.ends_with(OutOfMemory("full"))
