"""The gate believes the right path and rejects every planted mutant, over both caches."""

from types import SimpleNamespace

import pytest
import torch

from runner import catalogue, floors, metrics
from runner.protocol import NAMED
from runner.runtimes.eager import EagerStep
from runner.worker import bounds, caches, gate, model, reference, tokens
from tests.gate_errors import worst_errors
from tests.mutants import MUTANTS

CTX = 64
PROTOCOL = NAMED["paper"]


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=["bf16", "fp16", "fp32"])
def prepared(request):
    shape = catalogue.models()["tiny"].shape
    with torch.inference_mode():
        built = model.build_synthetic(
            model.Build(shape, "bf16", None, model.DTYPES[request.param], torch.device("cpu"))
        )
        drawn = tokens.draw(shape.vocab, floors.sequence_tokens(CTX, 5, 30), 0, torch.device("cpu"))
        expectation = gate.expect(built, shape, drawn, CTX, PROTOCOL)
    limits = bounds.of_dtype(request.param)
    bound = metrics.error_bound(max(expectation.trusted), limits["cap"], limits["noise"])
    return built, drawn, expectation, bound, limits["cap"]


def make_step(prepared, cache):
    built, drawn, *_ = prepared
    return EagerStep(built, caches.make(cache, built, floors.kv_alloc_tokens(CTX, 5, 30)), drawn)


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_the_right_path_passes(prepared, cache):
    errors = worst_errors(make_step(prepared, cache), CTX, prepared[2])
    assert max(errors.values()) <= prepared[3]


@pytest.mark.parametrize("cache", ["dynamic", "static"])
@pytest.mark.parametrize("name", MUTANTS)
def test_each_mutant_is_rejected_by_twice_the_cap(prepared, cache, name):
    step = make_step(prepared, cache)
    with MUTANTS[name](step):
        worst = max(worst_errors(step, CTX, prepared[2]).values())
    assert worst > prepared[3]
    assert worst >= 2 * prepared[4]
    assert max(worst_errors(step, CTX, prepared[2]).values()) <= prepared[3]  # the mutant is out again


def test_the_bound_is_three_times_trusted_within_cap_and_noise():
    assert metrics.error_bound(0.02, cap=0.1, noise=0.01) == 3 * 0.02
    assert metrics.error_bound(0.05, cap=0.1, noise=0.01) == 0.1  # 0.15 is over the cap
    assert metrics.error_bound(0.001, cap=0.1, noise=0.01) == 0.01  # 0.003 is under the noise


def test_a_nan_is_an_error_not_a_pass():
    assert gate.relative_error(torch.tensor([float("nan"), 1.0]), torch.ones(2)) == gate.NOT_FINITE


def test_llama3_frequencies_agree_with_transformers():
    shape = catalogue.models()["llama-3.1-8b"].shape
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    theirs = LlamaRotaryEmbedding(model.config_of(shape)).inv_freq
    assert torch.tensor(reference.rotary_frequencies(shape)).allclose(theirs, rtol=1e-5)


def test_every_step_consumes_the_trace_whatever_was_chosen(prepared):
    step = make_step(prepared, "static")
    step.prefill(CTX)
    step.chosen.fill_(0)
    step()
    first = step.logits.clone()
    step.restart(CTX)
    step.chosen.fill_(1)
    step()
    assert torch.equal(first, step.logits)
    step.tokens.forced.fill_(False)
    try:
        step.restart(CTX)
        step.chosen.fill_(int(step.tokens.sequence[CTX]) ^ 1)
        step()
        assert not torch.equal(first, step.logits)  # the data dependency is real
    finally:
        step.tokens.forced.fill_(True)


@pytest.mark.parametrize(
    ("runtime", "kernel", "noise"),
    [("graph", "exllamav2", 0.03), ("exllamav2", "exllamav2", 0.04), ("graph", "marlin", 0.002)],
)
def test_a_record_has_the_bounds_of_its_cells_runtime_and_kernel(runtime, kernel, noise):
    keeper = gate.Gatekeeper(SimpleNamespace(runtime=runtime), None)
    assert keeper.found("fp16", kernel) == {"cap": 0.02, "noise": noise, "checks": []}
