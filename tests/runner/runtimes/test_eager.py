"""The eager step: what it tells the model, how it advances, and what it spoils."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from runner.cell import catalogue, floors
from runner.declarations import POISON
from runner.runtimes import _sdpa, eager
from runner.worker import caches, model, tokens

CPU = torch.device("cpu")
SHAPE = catalogue.models()["tiny"].shape


@pytest.fixture(scope="module")
def built():
    with torch.inference_mode():
        return model.build_synthetic(model.Build(SHAPE, "bf16", None, torch.float32, CPU))


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


@pytest.fixture(params=["dynamic", "static"])
def step(request, built):
    return eager.EagerStep(built, caches.make(request.param, built, 128), tokens.draw(SHAPE.vocab, 100, 0, CPU))


def whole(step, count):
    """The logits [vocab] after `count` tokens, without a cache."""
    return step.model(input_ids=step.tokens.sequence[None, :count], use_cache=False).logits[0, -1]


def same(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.medium
def test_prefill_and_steps_say_what_one_pass_says(step):
    buffer = step.chosen  # what a graph captures stays where it is
    chosen = step.prefill(20)
    same(step.logits, whole(step, 20))
    assert chosen == step.logits.argmax()
    for count in (21, 22, 23):
        assert int(step.position) == count - 1
        chosen = step()
        same(step.logits, whole(step, count))
        assert chosen is buffer
        assert chosen.shape == (1,)
        assert chosen == step.logits.argmax()


@pytest.mark.medium
def test_a_prompt_passes_in_chunks_at_its_own_positions(step, monkeypatch):
    seen = []
    forward = step.forward

    def watched(consumed, positions):
        seen.append((len(consumed), positions.tolist()))
        return forward(consumed, positions)

    monkeypatch.setattr(step, "forward", watched)
    monkeypatch.setattr(step, "chunk_tokens", 8)
    step.prefill(20)
    assert seen == [(8, list(range(8))), (8, list(range(8, 16))), (4, list(range(16, 20)))]
    same(step.logits, whole(step, 20))


@pytest.mark.medium
def test_a_second_prefill_begins_with_an_empty_cache(step):
    step.prefill(20)
    step.prefill(12)
    same(step.logits, whole(step, 12))
    step()
    same(step.logits, whole(step, 13))


@pytest.mark.medium
def test_going_back_is_as_if_the_rows_behind_had_never_been_written(step):
    step.prefill(20)
    for _ in range(5):
        step()
    step.restart(22)
    step()
    same(step.logits, whole(step, 23))
    assert int(step.position) == 23


def test_spoiling_leaves_nan_for_logits_and_poison_from_the_position_on(step):
    step.prefill(20)
    rows = step.rows(0, 20).clone()
    step.poison(18)
    assert step.logits.isnan().all()
    assert torch.equal(step.rows(0, 18), rows[:18])
    left = step.rows(18, 25)
    assert len(left) == (2 if step.cache_kind == "dynamic" else 7)
    assert (left == POISON).all()


class Inner:
    """As far as a step made of an eager one reads it."""

    def __init__(self):
        self.chosen, self.calls = torch.zeros(1), []
        self.prefill, self.restart, self.rows = "prefill", "restart", "rows"
        self.cache_kind, self.settings = "static", {"a": "b"}

    def poison(self, position):
        self.calls.append(position)


def test_a_step_over_eager_spoils_its_own_logits_and_the_inner_ones():
    inner = Inner()
    outer = eager.StepOverEager(inner)
    outer.logits = torch.ones(3)
    outer.poison(64)
    assert inner.calls == [64]
    assert all(map(math.isnan, outer.logits.tolist()))


def test_a_step_over_eager_is_the_inner_one_in_all_but_its_call():
    inner = Inner()
    outer = eager.StepOverEager(inner)
    assert (outer.prefill, outer.restart, outer.rows) == ("prefill", "restart", "rows")
    assert (outer.eager, outer.cache_kind, outer.settings) == (inner, "static", {"a": "b"})


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_the_cache_of_a_cell_holds_prompt_and_trace(built, tiny_job, cache):
    job = replace(tiny_job, cell=replace(tiny_job.cell, cache=cache))
    step = eager.build(built, tokens.draw(SHAPE.vocab, 99, 0, CPU), job)
    step.prefill(17)
    assert step.cache_kind == cache
    if cache == "static":
        # 64 + 5 + 30 = 99 tokens, in multiples of 64: 128 rows
        assert floors.kv_alloc_tokens(64, 5, 30) == 128
        assert {tensor.shape[caches.POSITIONS] for tensor in caches.tensors(step.cache.rows)} == {128}


@pytest.mark.parametrize("backend", _sdpa.BACKENDS)
def test_one_backend_is_allowed_and_each_other_is_not(monkeypatch, backend, tiny_job, built):
    said = {}
    for name, switch in (
        ("flash", "enable_flash_sdp"),
        ("efficient", "enable_mem_efficient_sdp"),
        ("cudnn", "enable_cudnn_sdp"),
        ("math", "enable_math_sdp"),
    ):
        monkeypatch.setattr(torch.backends.cuda, switch, lambda on, name=name: said.update({name: on}))
    job = replace(tiny_job, cell=replace(tiny_job.cell, options={"sdpa": backend}))
    eager.build(built, SimpleNamespace(sequence=torch.zeros(1)), job)
    assert said == {name: name == backend for name in _sdpa.BACKENDS}
