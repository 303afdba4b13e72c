"""Small models with a prompt in their cache, on which the interpreter's steps are held against the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import torch

from runner.cell.shape import ModelShape
from runner.fused import geometry, stepplan
from runner.fused.stepplan import StepPlan
from runner.runtimes import eager
from runner.worker import caches, gate, model, reference, tokens
from tests.support import fusedorder
from tests.support.fusedinterpreter import Block
from tests.support.fusedmemory import NAN_BITS, Buffers, Weights
from tests.support.fusedshapes import H200, everything, of_catalogue

STEPS, CACHE_ROWS = 3, 400
TINY = of_catalogue()["tiny"]
SCALING = of_catalogue()["llama-3.1-8b"].rope_scaling
SHAPES = everything() | {
    "tied": replace(TINY, tied_embedding=True),
    "llama": replace(TINY, model_type="llama", qkv_bias=False, rope_scaling=SCALING),
}


@dataclass(frozen=True)
class Case:
    """A model, and its logits at positions [start, start + 3)."""

    shape: ModelShape
    start: int
    sequence: torch.Tensor
    weights: Weights
    exact: torch.Tensor
    """the reference's logits, float32"""
    trusted: torch.Tensor
    """transformers' logits, bf16"""

    @property
    def bound(self) -> float:
        """Returns the largest error that is allowed: as for the kernel, 1.2 times trusted eager's."""
        return 1.2 * max(gate.relative_error(*pair) for pair in zip(self.trusted, self.exact, strict=True))

    def logits(
        self,
        kind: type[Block] = Block,
        change: Callable[[StepPlan], StepPlan] = lambda plan: plan,
        seed: int = 0,
        late: int | None = None,
        **layout: int,
    ) -> torch.Tensor:
        """Returns the logits of three steps. Rows of the cache that no step has written are NaN."""
        weights, buffers, left = self._poisoned(), None, []
        chosen_layout = replace(geometry.choose(self.shape, H200), **layout)
        for position in range(self.start, self.start + STEPS):
            plan = change(stepplan.make(chosen_layout, position, CACHE_ROWS))
            buffers = buffers or Buffers(plan)
            token = int(self.sequence[position])
            logits, chosen = fusedorder.run(plan, weights, buffers, token, seed + position, kind, late)
            left.append(torch.from_numpy(logits))
            assert chosen == int(left[-1].argmax()) or left[-1].isnan().any()
        return torch.stack(left)

    def error(self, logits: torch.Tensor) -> float:
        """Returns the largest relative error of a step; infinity if a logit is not finite."""
        if not logits.isfinite().all():
            return float("inf")
        return max(gate.relative_error(*pair) for pair in zip(logits, self.exact, strict=True))

    def _poisoned(self) -> Weights:
        layers = []
        for layer in self.weights.layers:
            rows = {name: layer[name].copy() for name in ("keys", "values")}
            for each in rows.values():
                each.reshape(self.shape.kv_heads, CACHE_ROWS, -1)[:, self.start :] = NAN_BITS
            layers.append(layer | rows)
        return replace(self.weights, layers=layers)


@cache
@torch.no_grad()
def of(name: str, start: int) -> Case:
    """Returns a case with synthetic weights. transformers fills the cache."""
    shape, device = SHAPES[name], torch.device("cpu")
    module = model.build_synthetic(model.Build(shape, "bf16", None, torch.bfloat16, device))
    drawn = tokens.draw(shape.vocab, CACHE_ROWS, 1, device)
    step = eager.EagerStep(module, caches.make("static", module, CACHE_ROWS), drawn)
    if start:
        step.prefill(start)
    sequence, rows = drawn.sequence[: start + STEPS], torch.arange(start, start + STEPS)
    return Case(
        shape,
        start,
        sequence,
        Weights.of(module, step.cache.rows, shape.rms_norm_eps),
        reference.for_model(module, shape, torch.float32).logits(sequence, rows),
        gate.trusted_logits(module, sequence, rows),
    )
