"""`--explain-gate`: the layer at which a step begins to go wrong is the one whose ratio leaves 1."""

import re
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from runner.cell import catalogue, floors
from runner.cell.jsonform import to_json
from runner.runtimes.eager import EagerStep
from runner.worker import caches, explain, model, session, tokens
from runner.worker.progress import Clock

pytestmark = pytest.mark.usefixtures("quick_probe")

CTX, DEVICE = 64, torch.device("cpu")
LINE = re.compile(r"explain-gate: from (\d+), layer (\d+): error (\S+), trusted (\S+), ratio (\S+)")


@pytest.fixture(scope="module")
def prepared():
    shape = catalogue.models()["tiny"].shape
    with torch.inference_mode():
        built = model.build_synthetic(model.Build(shape, "bf16", None, torch.bfloat16, DEVICE))
        drawn = tokens.draw(shape.vocab, floors.sequence_tokens(CTX, 5, 30), 0, DEVICE)
        return built, drawn, explain.expect(built, shape, drawn.sequence, CTX)


@contextmanager
def scaled(layer):
    """A step whose attention of one layer scores 30 % too high."""
    right, layer.self_attn.scaling = layer.self_attn.scaling, layer.self_attn.scaling * 1.3
    try:
        yield
    finally:
        layer.self_attn.scaling = right


def ratios(prepared, broken=None):
    """(start, layer) → ratio of each line."""
    built, drawn, layers = prepared
    step = EagerStep(built, caches.make("static", built, floors.kv_alloc_tokens(CTX, 5, 30)), drawn)
    with torch.inference_mode():
        if broken is None:
            lines = list(explain.lines(step, built, layers, CTX))
        else:
            with scaled(built.model.layers[broken]):
                lines = list(explain.lines(step, built, layers, CTX))
    found = [LINE.fullmatch(line).groups() for line in lines]
    return {(int(start), int(layer)): float(ratio) for start, layer, *_, ratio in found}


@pytest.mark.medium
def test_each_layer_of_a_right_step_errs_as_trusted_eager_does(prepared):
    found = ratios(prepared)
    assert list(found) == [(17, 0), (17, 1), (64, 0), (64, 1)]
    assert all(0.8 < ratio < 1.25 for ratio in found.values()), found


@pytest.mark.medium
def test_the_first_layer_that_stands_out_is_the_one_that_is_wrong(prepared):
    found = ratios(prepared, broken=1)
    assert all(found[start, 0] < 1.25 for start in (17, 64)), found
    assert all(found[start, 1] > 2 for start in (17, 64)), found


@pytest.mark.medium
def test_each_figure_is_the_error_of_that_layer_over_the_eight_positions(prepared):
    """The reference's states are turned into known multiples of what the step leaves."""
    built, drawn, layers = prepared
    step = EagerStep(built, caches.make("static", built, floors.kv_alloc_tokens(CTX, 5, 30)), drawn)
    with torch.inference_mode():
        right = explain.Layers(layers.positions, layers.trusted / 2, layers.trusted / 1.6)
        lines = list(explain.lines(step, built, right, CTX))
    for line in lines:
        _, _, error, trusted, ratio = LINE.fullmatch(line).groups()
        # the step is trusted eager, nearly: twice the reference, an error of 1; trusted is 1.25 times it, 0.25
        assert float(error) == pytest.approx(1.0, abs=0.02)
        assert float(trusted) == pytest.approx(0.25, abs=0.01)
        assert float(ratio) == pytest.approx(4.0, abs=0.2)


@pytest.mark.medium
def test_a_step_made_of_eager_is_looked_at_kernel_by_kernel(prepared):
    built, drawn, layers = prepared
    eager = EagerStep(built, caches.make("static", built, floors.kv_alloc_tokens(CTX, 5, 30)), drawn)
    replayed = SimpleNamespace(runtime="graph", eager=eager)  # a replay has no hooks
    with torch.inference_mode():
        found = list(explain.lines(replayed, built, layers, CTX))
        assert found == list(explain.lines(eager, built, layers, CTX))
    assert len(found) == 4


def test_an_engine_shows_nothing(prepared):
    _, _, layers = prepared
    (line,) = explain.lines(SimpleNamespace(runtime="exllamav2"), None, layers, CTX)
    assert line == "explain-gate: the engine does not expose the output of its layers"


def test_a_cell_at_17_is_compared_once():
    assert explain.starts(64) == (17, 64)
    assert explain.starts(17) == (17,)


def test_what_a_layer_leaves_is_the_first_of_what_it_returns():
    """Before transformers 5 a decoder layer returns a tuple."""

    class Layer(torch.nn.Module):
        def forward(self, x):
            return (x + 1, "weights") if self.training else x + 1

    layer = Layer()
    model = SimpleNamespace(model=SimpleNamespace(layers=[layer]))
    for training in (True, False):
        with explain._hidden(model) as seen:
            layer.train(training)(torch.zeros(1, 3, 2))
        assert [each.tolist() for each in seen] == [[[1.0, 1.0]] * 3]


@pytest.mark.medium
def test_the_model_is_left_without_hooks(prepared):
    built, *_ = prepared
    ratios(prepared)
    assert not any(layer._forward_hooks for layer in built.model.layers)


@pytest.mark.slow
def test_a_session_prints_it_after_all_that_is_timed(tiny_job, capfd):
    with torch.inference_mode():
        found = to_json(session.run(replace(tiny_job, explain=True), Clock(1_000, 0.0)))
    said = capfd.readouterr().out.splitlines()
    assert [line for line in said if "explain-gate" in line] == said[-4:]
    assert found["valid"], found["reasons"]


@pytest.mark.slow
def test_a_session_says_nothing_of_it_unless_asked(tiny_job, capfd):
    session.run(tiny_job, Clock(1_000, 0.0))
    assert "explain-gate" not in capfd.readouterr().out
