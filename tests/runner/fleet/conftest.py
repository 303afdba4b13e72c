"""Shared by the tests of the fleet: sessions without a worker, and settings of a driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.ab import pairseries
from runner.fleet import onnode
from runner.launch.session import Settings
from runner.study.recorded.present import Present
from tests.support import standins
from tests.support.displays import Seen


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> standins.Worker:
    """Sessions of nodes without a worker. Each is of today's code."""
    stand_in = standins.Worker()
    for module in (onnode, pairseries):
        monkeypatch.setattr(module, "run_session", stand_in)
    monkeypatch.setattr(Present, "code_difference", lambda *_: None)
    return stand_in


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "spool", None, None, False, 60.0, Seen())
