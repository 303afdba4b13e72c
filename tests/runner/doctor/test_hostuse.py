"""The use of the host: a session that a real process holds it for, and processors that /proc/stat says are busy."""

from __future__ import annotations

import pytest

from runner.doctor import hostuse
from runner.doctor.finding import NOTE, OK, PROBLEM
from runner.errors import BadValue
from runner.machine import host, hostlock
from tests.support.processes import ROOT, holding

HOLD = "import contextlib; from runner.machine import hostlock; held = hostlock.hold(False, print); held.__enter__()"


def busy(monkeypatch: pytest.MonkeyPatch, *readings: tuple[float, float] | None) -> None:
    """Lets /proc/stat give these (seconds of all processes, seconds of this one) in turn, 2 s apart."""
    answers, times = iter(readings), iter((0.0, 2.0))
    monkeypatch.setattr(host, "busy_seconds", lambda: next(answers))
    monkeypatch.setattr(hostuse, "SAMPLE_S", 0.0)
    monkeypatch.setattr(hostuse.time, "monotonic", lambda: next(times))


@pytest.mark.medium
def test_a_session_that_is_being_measured_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with holding(HOLD) as pid:
        found = hostuse.finding()
    assert found.state == NOTE
    assert found.finding.startswith(f"another session on this host (pid {pid}, since ")
    assert found.finding.endswith(") is being measured")


def test_an_idle_host_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "cores", lambda: 8)
    busy(monkeypatch, (100.0, 1.0), (100.9, 1.1))  # (0.9 - 0.1) / 2 s = 0.4 cores
    found = hostuse.finding()
    assert (found.state, found.finding) == (
        OK,
        "no session is being measured; other programs use 0.4 of 8 cores",
    )


def test_a_busy_host_would_flag_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    busy(monkeypatch, (100.0, 1.0), (103.0, 1.0))  # 3 / 2 s = 1.5 cores
    found = hostuse.finding()
    assert found.state == NOTE
    assert "other programs use 1.5 of" in found.finding
    assert found.finding.endswith("sessions would be flagged host-busy")


def test_a_sandbox_may_hide_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    busy(monkeypatch, None, None)
    assert hostuse.finding().state == OK


def test_a_lock_that_cannot_be_used_is_a_problem() -> None:
    hostlock.folder().rmdir()
    hostlock.folder().write_text("a file in its place")
    found = hostuse.finding()
    assert (found.state, found.exit_code) == (PROBLEM, BadValue.exit_code)
