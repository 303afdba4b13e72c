"""The clocks: what each includes, seen on a step that counts and takes a known time."""

import time

import pytest

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
