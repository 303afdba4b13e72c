"""A hot card is waited for, and not for ever."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from runner.ab import cooling


@pytest.mark.parametrize(("temperatures", "polls"), [([60], 0), ([80, 70, 64], 2), ([None], 0)])
def test_a_hot_card_is_waited_for(temperatures: list[Any], polls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    left, slept = list(temperatures), []
    monkeypatch.setattr(cooling.nvml, "snapshot", lambda _uuid: SimpleNamespace(temperature_c=left.pop(0)))
    monkeypatch.setattr(cooling.time, "sleep", slept.append)
    said: list[str] = []
    cooling.cool_down("GPU-1", lambda text, _seconds: said.append(text))
    assert (len(slept), len(said)) == (polls, polls)


def test_a_card_that_does_not_cool_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr(cooling.nvml, "snapshot", lambda _uuid: SimpleNamespace(temperature_c=90))
    monkeypatch.setattr(cooling.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(cooling.time, "monotonic", lambda: next(clock))
    assert cooling.cool_down("GPU-1", lambda _text, _seconds: None) >= cooling.LONGEST_WAIT_S
    assert cooling.cool_down(None, lambda _text, _seconds: None) == 0.0


def test_the_wait_ends_with_the_first_poll_after_three_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr(cooling.nvml, "snapshot", lambda _uuid: SimpleNamespace(temperature_c=90))
    monkeypatch.setattr(cooling.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(cooling.time, "monotonic", lambda: next(clock))
    waited: list[float] = []
    cooling.cool_down("GPU-1", lambda _text, seconds: waited.append(seconds))
    assert waited == [100]  # at 200 s it is over
