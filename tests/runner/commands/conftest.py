"""Shared by the tests of studies: sessions without a worker."""

from __future__ import annotations

import pytest

from runner.ab import pairseries
from runner.study import cellseries
from runner.study.recorded.today import Today
from tests.support import standins


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> standins.Worker:
    """Sessions without a worker. Each is of today's code."""
    stand_in = standins.Worker()
    for module in (cellseries, pairseries):
        monkeypatch.setattr(module, "run_session", stand_in)
    monkeypatch.setattr(Today, "difference", lambda *_: None)
    return stand_in
