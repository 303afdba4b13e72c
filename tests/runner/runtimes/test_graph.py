"""What is captured: one whole step, on a side stream that was warmed up, and nothing of it run meanwhile."""

from types import SimpleNamespace

import pytest
import torch

from runner.declarations import POISON
from runner.runtimes import eager, graph
from tests.fakes.cuda import Cuda


class Step:
    """An eager step over the pretended device: its kernel counts the position up and leaves the count as logits."""

    settings, cache_kind = {}, "static"

    def __init__(self, cuda):
        self.cuda = cuda
        self.position, self.chosen = torch.zeros(1), torch.zeros(1)
        self.logits = torch.zeros(1)
        self.ran_on, self.prefilled, self.spoilt = [], [], []
        self.restart = self.rows = None

    def prefill(self, tokens):
        self.prefilled.append(tokens)

    def poison(self, position):
        self.spoilt.append(position)

    def __call__(self):
        self.ran_on.append(self.cuda.stream_name)
        self.cuda.calls.append("eager step")
        self.logits = self.decode_one_token()
        return self.chosen

    def decode_one_token(self):
        logits = torch.zeros(1)  # another memory at each call; that of the captured one is the graph's

        def kernel():
            self.position.add_(1)
            logits.copy_(self.position * 10)
            self.chosen.copy_(self.position * 100)

        self.cuda.launch("whole step", 1_000, kernel)
        return logits


@pytest.fixture
def cuda(monkeypatch):
    return Cuda().install(monkeypatch)


@pytest.fixture
def step(cuda):
    return Step(cuda)


def test_the_side_stream_is_warmed_up_before_it_is_captured(cuda, step):
    graph.capture(step)
    warm_up = ["eager step"] * graph.CAPTURE_WARMUP
    assert step.ran_on == ["side"] * graph.CAPTURE_WARMUP
    assert graph.CAPTURE_WARMUP >= 2  # the first call chooses algorithms, the next one runs them
    assert cuda.calls == [
        ("side", "waits for", "main"),
        *warm_up,
        ("main", "waits for", "side"),
        ("capture", "side"),
        "captured",
    ]


def test_capturing_runs_nothing(step):
    found, _ = graph.capture(step)
    assert step.position == graph.CAPTURE_WARMUP
    assert [name for name, *_ in found.nodes] == ["whole step"]


def test_each_call_replays_one_step_and_nothing_else(cuda, step):
    made = graph.GraphStep(step)
    before, launched = int(step.position), len(cuda.seen)
    eager_calls = len(step.ran_on)
    assert made() is step.chosen
    assert int(step.position) == before + 1
    assert made.logits == (before + 1) * 10
    assert made() == (before + 2) * 100
    assert made.logits == (before + 2) * 10
    assert len(step.ran_on) == eager_calls
    names = [event.name() for event in cuda.seen[launched:]]
    assert names == ["cudaGraphLaunch", "whole step"] * 2


def test_a_graph_has_logits_of_its_own_which_it_spoils_beside_the_steps(step):
    made = graph.GraphStep(step)
    made()
    made.poison(64)
    assert step.spoilt == [64]
    assert made.logits.isnan().all()
    made()
    assert made.logits == int(step.position) * 10


def test_a_graph_is_captured_over_a_cache_that_was_filled_once(monkeypatch, step):
    """A static cache takes its memory at the first prefill, which no graph may do."""
    monkeypatch.setattr(eager, "build", lambda *_: step)
    made = graph.build(None, None, SimpleNamespace())
    assert step.prefilled == [17]
    assert (made.runtime, made.eager) == ("graph", step)


def test_the_poison_of_a_row_is_held_exactly_by_every_dtype():
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        assert float(torch.tensor(POISON, dtype=dtype)) == POISON
