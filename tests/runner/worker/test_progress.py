"""The clock of a session, while somebody sets the host's."""

from types import SimpleNamespace

import pytest

from runner.worker import progress
from runner.worker.progress import Clock

BEGAN_S = 1_700_000_000.0


@pytest.fixture
def clocks(monkeypatch):
    """The host's clock and a monotonic one, both of which a test sets."""
    times = SimpleNamespace(host=BEGAN_S + 2.0, monotonic=50.0)
    fake = SimpleNamespace(time=lambda: times.host, monotonic=lambda: times.monotonic)
    monkeypatch.setattr(progress, "time", fake)
    return times


@pytest.mark.parametrize("set_s", [-3600.0, 0.0, 3600.0])
def test_a_host_clock_that_is_set_meanwhile_moves_no_time_of_the_session(clocks, set_s):
    clock = Clock(int(BEGAN_S * 1e3))
    clocks.host += set_s
    clocks.monotonic += 30.0
    assert clock.total_s() == pytest.approx(32.0)
    assert clock.now_ms() == int((BEGAN_S + 32.0) * 1e3)
    assert clock.seconds == {"start": 2.0}


def test_a_host_clock_that_was_set_back_before_makes_no_negative_time(clocks):
    clock = Clock(int((BEGAN_S + 3600) * 1e3))
    clocks.monotonic += 30.0
    assert clock.seconds == {"start": 0.0}
    assert clock.total_s() == pytest.approx(30.0)
    assert clock.now_ms() == int((BEGAN_S + 3630) * 1e3)
