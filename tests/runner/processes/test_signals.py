"""Signals as errors: raised at once, held back, let through, and never slept through."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from runner.errors import Interrupted, Stopped, Terminated
from runner.processes import signals


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(signals._State, "stopped", False)
    before = {number: signal.getsignal(number) for number in signals.STOPPING}
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    signals.install()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (signal.SIGINT, Interrupted, "stopped by Ctrl-C"),
        (signal.SIGTERM, Terminated, "stopped by SIGTERM"),
        (signal.SIGHUP, Terminated, "stopped by SIGHUP"),
    ],
)
def test_a_signal_is_an_error(number: signal.Signals, kind: type[Stopped], message: str) -> None:
    with pytest.raises(kind, match=f"^{message}$"):
        send(number)


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals.install()
    send(signal.SIGHUP)


def test_a_signal_inside_a_finaliser_is_not_lost() -> None:
    """Of such a moment `import` is full: each module's lock is let go of by a callback."""
    owned = threading.Event()
    reference = weakref.ref(owned, lambda _: send(signal.SIGTERM))
    holder = [owned]
    del owned

    def work() -> None:
        holder.clear()
        time.sleep(10)

    with pytest.raises(Terminated, match=r"^stopped by SIGTERM$"):
        work()
    assert reference() is None


def test_another_error_inside_a_finaliser_is_printed_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    owned = threading.Event()
    reference = weakref.ref(owned, lambda _: 1 // 0)
    del owned
    assert reference() is None
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_held_signal_comes_when_the_outermost_hold_ends() -> None:
    done = []

    def work() -> None:
        with signals.held():
            with signals.held():
                send(signal.SIGTERM)
                done.append("inner")
            done.append("outer")

    with pytest.raises(Terminated):
        work()
    assert done == ["inner", "outer"]


def test_nothing_is_left_over_after_a_hold() -> None:
    with pytest.raises(Terminated), signals.held():
        send(signal.SIGTERM)
    with signals.held():
        pass


def test_a_held_signal_is_let_through_at_once() -> None:
    with signals.held():
        send(signal.SIGTERM)
        with pytest.raises(Terminated), signals.let_through():
            pytest.fail("ran on")


def test_after_letting_through_signals_are_held_again() -> None:
    done = []

    def work() -> None:
        with signals.held():
            with signals.let_through():
                done.append("let through")
            send(signal.SIGTERM)
            done.append("held")

    with pytest.raises(Terminated):
        work()
    assert done == ["let through", "held"]


def test_the_first_signal_decides_and_the_others_change_nothing() -> None:
    done = []

    def work() -> None:
        try:
            send(signal.SIGINT)
        finally:
            send(signal.SIGINT)
            send(signal.SIGTERM)
            done.append("cleaned up")

    with pytest.raises(Interrupted):
        work()
    assert done == ["cleaned up"]


def test_of_two_held_signals_the_first_is_raised() -> None:
    def work() -> None:
        with signals.held():
            send(signal.SIGINT)
            send(signal.SIGTERM)

    with pytest.raises(Interrupted):
        work()


@pytest.mark.medium
def test_a_signal_that_another_thread_sends_wakes_the_select() -> None:
    threading.Timer(0.1, send, (signal.SIGTERM,)).start()
    started = time.monotonic()
    with pytest.raises(Terminated), signals.wakeup() as wake:
        select.select([wake], [], [], 10)
    assert time.monotonic() - started < 5


def test_a_signal_before_the_select_is_not_slept_through() -> None:
    def work() -> None:
        with signals.held(), signals.wakeup() as wake:
            send(signal.SIGTERM)
            woken.append(select.select([wake], [], [], 10)[0] == [wake])

    woken: list[bool] = []
    with pytest.raises(Terminated):
        work()
    assert woken == [True]
