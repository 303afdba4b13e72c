"""What is asked of torch.compile: the whole step, without breaks, for one shape, in the cell's mode."""

from types import SimpleNamespace

import pytest
import torch

from runner.runtimes import compile as compiled
from runner.runtimes import eager


class Step:
    settings, cache_kind = {}, "static"

    def __init__(self):
        self.position, self.chosen = torch.zeros(1), torch.zeros(1)
        self.tokens = SimpleNamespace(sequence=torch.zeros(3), forced=torch.ones(1))
        self.prefill = self.restart = self.rows = None
        self.logits, self.eager_calls = torch.zeros(2), 0

    def decode_one_token(self):
        self.eager_calls += 1
        return torch.zeros(2)


@pytest.fixture
def asked(monkeypatch):
    """What torch.compile was asked for; what it makes leaves other logits at each call, as a replayed graph may."""
    found = SimpleNamespace(options=None, calls=0, static=[], stopped=0)

    def make(function, **options):
        found.options, found.function = options, function

        def run():
            found.calls += 1
            return torch.full((2,), float(found.calls))

        return run

    monkeypatch.setattr(torch, "compile", make)
    monkeypatch.setattr("torch._dynamo.mark_static_address", found.static.append)
    monkeypatch.setattr(
        "torch._inductor.async_compile.shutdown_compile_workers",
        lambda: setattr(found, "stopped", found.calls),
    )
    return found


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_the_whole_step_is_compiled_in_one_graph_for_one_shape_in_the_mode_of_the_cell(asked, mode):
    step = Step()
    compiled.CompiledStep(step, mode)
    assert asked.function == step.decode_one_token
    assert asked.options == {"fullgraph": True, "dynamic": False, "mode": mode}


def test_it_is_called_until_it_is_steady_and_its_workers_are_gone_before_anything_is_timed(asked):
    compiled.CompiledStep(Step(), "reduce-overhead")
    # compile, run once more in the graph's memory, record, replay
    assert asked.calls == asked.stopped == 4


def test_each_buffer_that_a_step_reads_and_writes_stays_where_it_is(asked):
    step = Step()
    compiled.CompiledStep(step, "default")
    buffers = (step.position, step.chosen, step.tokens.sequence, step.tokens.forced)
    assert [id(each) for each in asked.static] == [id(each) for each in buffers]


def test_each_call_runs_what_was_compiled_and_leaves_its_logits(asked):
    step = Step()
    made = compiled.CompiledStep(step, "default")
    assert made() is step.chosen
    assert made.logits.tolist() == [5.0, 5.0]
    made()
    assert made.logits.tolist() == [6.0, 6.0]
    assert step.eager_calls == 0
    assert asked.calls == 6


def test_it_is_compiled_over_a_cache_that_was_filled_once(asked, monkeypatch):
    step, filled = Step(), []
    step.prefill = filled.append
    monkeypatch.setattr(eager, "build", lambda *_: step)
    job = SimpleNamespace(cell=SimpleNamespace(options={"mode": "reduce-overhead"}))
    made = compiled.build(None, None, job)
    assert filled == [17]
    assert (made.runtime, made.eager, asked.options["mode"]) == ("compile", step, "reduce-overhead")
