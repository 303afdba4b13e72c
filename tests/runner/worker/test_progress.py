"""The clock of a session, also while somebody sets the host's, and the lines that reach the parent."""

import io
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from runner.worker import progress
from runner.worker.progress import Clock, report_error

BEGAN_S = 1_700_000_000.0


STARTED_S = 48.0


@pytest.fixture
def clocks(monkeypatch):
    """The host's clock and a monotonic one, both of which a test sets."""
    times = SimpleNamespace(host=BEGAN_S + 2.0, monotonic=50.0)
    fake = SimpleNamespace(time=lambda: times.host, monotonic=lambda: times.monotonic)
    monkeypatch.setattr(progress, "time", fake)
    return times


@pytest.mark.parametrize("set_s", [-3600.0, 0.0, 3600.0])
def test_a_host_clock_that_is_set_meanwhile_moves_no_time_of_the_session(clocks, set_s):
    clocks.host += set_s
    clock = Clock(int(BEGAN_S * 1e3), STARTED_S)
    clocks.host += set_s
    clocks.monotonic += 30.0
    assert clock.total_s() == pytest.approx(32.0)
    assert clock.now_ms() == int((BEGAN_S + 32.0) * 1e3)
    assert clock.seconds == {"start": 2.0}


def test_a_monotonic_clock_that_began_later_makes_no_negative_time(clocks):
    """As in a time namespace of a container."""
    clock = Clock(int(BEGAN_S * 1e3), clocks.monotonic + 3600)
    clocks.monotonic += 30.0
    assert clock.seconds == {"start": 0.0}
    assert clock.total_s() == pytest.approx(30.0)
    assert clock.now_ms() == int((BEGAN_S + 30) * 1e3)


def test_a_phase_that_comes_again_adds_up_under_its_name(monkeypatch, capsys):
    moments = iter([1.0, 3.0, 10.0, 14.0])
    clock = Clock(1_000, 0.0)
    monkeypatch.setattr("runner.worker.progress.time", SimpleNamespace(perf_counter=lambda: next(moments)))
    for announce in ("measure: wall", None):
        with clock.phase("steps", announce):
            pass
    assert clock.seconds["steps"] == 6.0  # 2 s and 4 s
    assert capsys.readouterr().out == "@phase measure: wall\n"


def test_a_phase_that_fails_is_timed_too(monkeypatch):
    @contextmanager
    def failing():
        with pytest.raises(ValueError, match="now"):
            yield

    moments = iter([1.0, 3.0])
    clock = Clock(1_000, 0.0)
    monkeypatch.setattr("runner.worker.progress.time", SimpleNamespace(perf_counter=lambda: next(moments)))
    with failing(), clock.phase("load"):
        raise ValueError("now")
    assert clock.seconds["load"] == 2.0


def test_what_is_said_reaches_the_parent_at_once(monkeypatch):
    """Standard output is a pipe, which Python would keep until it is full."""

    class Pipe(io.StringIO):
        flushed = ""

        def flush(self):
            self.flushed = self.getvalue()

    pipe = Pipe()
    monkeypatch.setattr("sys.stdout", pipe)
    Clock(1_000, 0.0).print_progress("load")
    assert pipe.flushed == "@phase load\n"
    report_error("a-reason", 3, "what was wrong")
    assert pipe.flushed.splitlines()[1].startswith("@error {")
