"""The start of a command, by the host's clock as it is set when it is asked for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from runner.commands import start
from runner.commands.start import Start


@pytest.mark.parametrize("set_s", [0.0, 3600.0, -3600.0])
def test_a_clock_that_is_set_after_the_start_changes_the_start_alone(
    monkeypatch: pytest.MonkeyPatch, set_s: float
) -> None:
    """2.5 s after the start, whatever the host's clock says."""
    fake = SimpleNamespace(time=lambda: 1_700_000_000.0 + set_s, monotonic=lambda: 52.5)
    monkeypatch.setattr(start, "time", fake)
    assert Start(50.0, None, {}).ms == int((1_700_000_000.0 + set_s - 2.5) * 1000)
