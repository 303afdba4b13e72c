"""The clocks: what each includes, seen on a step that counts and takes a known time."""

import subprocess
import sys
import time

import pytest

from runner.machine import host
from runner.protocol import Protocol
from runner.worker import clocks

STEP_S, READ_BACK_S = 0.002, 0.004
PROTOCOL = Protocol("custom", 3, 7)


class Token:
    def __init__(self, step):
        self.step = step

    def item(self):
        self.step.calls.append("read back")
        time.sleep(READ_BACK_S)
        return len(self.step.calls)


class CountingStep:
    def __init__(self):
        self.calls = []

    def restart(self, position):
        self.calls.append(f"restart {position}")

    def spoil(self, position):
        self.calls.append(f"spoil {position}")

    def __call__(self):
        self.calls.append("step")
        time.sleep(STEP_S)
        return Token(self)


@pytest.mark.parametrize(
    ("before", "after", "others"),
    [
        ((100.0, 10.0), (103.0, 11.0), 2.0),  # all used 3 s, this process 1 of them, in a window of 1 s
        ((100.0, 10.0), (101.0, 11.0), 0.0),
        ((100.0, 10.0), (100.5, 11.0), 0.0),  # ticks of 10 ms against nanoseconds
    ],
)
def test_the_cores_of_others_are_all_less_its_own(monkeypatch, before, after, others):
    monkeypatch.setattr(clocks.host, "busy_seconds", lambda: after)
    assert clocks._cores_used_by_others(before, 1.0) == others


def test_a_busy_neighbour_is_seen_by_the_wall_clock():
    """The real figure of a real process: it spins on a core for as long as the window is open."""
    spinning = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    with subprocess.Popen(spinning, stdout=subprocess.PIPE) as neighbour:
        neighbour.stdout.readline()
        try:
            found = clocks.wall(CountingStep(), Protocol("custom", 1, 150)).found
        finally:
            neighbour.kill()
    if host.busy_seconds() is None:
        assert found["other_cpu_cores"] is None
    else:
        assert found["other_cpu_cores"] > 0.3


@pytest.fixture
def step():
    return CountingStep()


def test_warm_up_goes_back_to_ctx_reads_every_token_and_spoils_what_is_to_be_written(step):
    token = clocks.warm_up(step, 64, 3)
    assert step.calls == ["restart 64", "spoil 64", *["step", "read back"] * 3, "spoil 67"]
    assert token == 8  # calls until the last read-back


def test_wall_times_each_step_together_with_its_read_back(step):
    timed = clocks.wall(step, PROTOCOL)
    found = timed.found
    assert step.calls == ["step", "read back"] * 7
    assert timed.tokens == (2, 4, 6, 8, 10, 12, 14)
    assert len(found["steps_ms"]) == 7
    assert min(found["steps_ms"]) >= (STEP_S + READ_BACK_S) * 1e3  # 2 ms + 4 ms
    assert (found["segments"], found["compiled"], found["collected"]) == (0, 0, 0)


def test_rate_reads_nothing_back_and_has_one_total(step):
    import torch

    timed = clocks.rate(step, PROTOCOL, torch.device("cpu"))
    found = timed.found
    assert step.calls == ["step"] * 7
    assert timed.tokens == ()
    assert 7 * STEP_S * 1e3 <= found["total_ms"] < 7 * (STEP_S + READ_BACK_S) * 1e3
