"""The fused step on a GPU: against a reference, the same bits again, under delays, and near the wrap of its epochs."""

from collections.abc import Mapping

import pytest
import torch

from runner.cell.shape import ModelShape
from runner.fused import compiled
from runner.runtimes import _fusedstep, eager
from runner.worker import caches, gate, model, reference, tokens
from tests.support.fusedshapes import odd, of_catalogue

SHAPES = odd() | {"tiny": of_catalogue()["tiny"]}
START, STEPS = 20, 100
COMPILE_STEP = compiled.compile_step
pytestmark = pytest.mark.gpu


def step_of(shape: ModelShape, more: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> _fusedstep.FusedStep:
    device = torch.device("cuda", 0)
    module = model.build_synthetic(model.Build(shape, "bf16", None, torch.bfloat16, device))
    drawn = tokens.draw(shape.vocab, 400, 1, device)
    monkeypatch.setattr(compiled, "compile_step", lambda layout, arch: COMPILE_STEP(layout, arch, dict(more)))
    step = _fusedstep.FusedStep(eager.EagerStep(module, caches.make("static", module, 400), drawn), shape)
    step.prefill(START)
    return step


def logits(step: _fusedstep.FusedStep, start: int = START, count: int = STEPS) -> torch.Tensor:
    step.restart(start)
    left = []
    for _ in range(count):
        step()
        left.append(step.logits.clone())
    torch.cuda.synchronize()
    return torch.stack(left)


@torch.no_grad()
@pytest.mark.parametrize("name", SHAPES)
def test_logits_are_no_worse_than_trusted_eagers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    step = step_of(SHAPES[name], {}, monkeypatch)
    module, sequence = step.eager.model, step.eager.tokens.sequence[: START + STEPS]
    rows = torch.arange(START, START + STEPS, device=sequence.device)
    step.poison(START)
    exact = reference.for_model(module, SHAPES[name], torch.float32).logits(sequence, rows)
    trusted = gate.trusted_logits(module, sequence, rows)
    errors = [gate.relative_error(*pair) for pair in zip(logits(step), exact, strict=True)]
    assert max(errors) <= 1.2 * max(gate.relative_error(*pair) for pair in zip(trusted, exact, strict=True))


@torch.no_grad()
@pytest.mark.parametrize("name", SHAPES)
def test_the_same_steps_leave_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    step = step_of(SHAPES[name], {}, monkeypatch)
    first = logits(step)
    assert torch.equal(logits(step), first)
    step.launch.buffers["launches"].view(torch.uint32).fill_(2**32 // (2 * SHAPES[name].layers) - STEPS // 2)
    assert torch.equal(logits(step), first)  # the epochs wrap in the middle


@torch.no_grad()
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", SHAPES)
def test_delays_change_no_bit(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = logits(step_of(SHAPES[name], {}, monkeypatch))
    delayed = logits(step_of(SHAPES[name], {"DELAYS": str(seed)}, monkeypatch))
    assert gate.relative_error(delayed, plain) == 0.0  # says how much, if any bit differs
    assert torch.equal(delayed, plain)
