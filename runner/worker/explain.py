"""Finds where a step begins to differ: compares the hidden state after each layer with the reference's.

For debugging. No record has it. The step is driven after all that is timed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from runner import registry
from runner.cell.floors import GATE_SHORT_CTX, GATE_STEPS
from runner.cell.shape import ModelShape
from runner.declarations import Step
from runner.worker import gate
from runner.worker import reference as references


@dataclass(frozen=True)
class Layers:
    """Hidden states [layers, p, hidden] at sorted positions, on the host: the reference's, and trusted eager's."""

    positions: tuple[int, ...]
    reference: torch.Tensor
    trusted: torch.Tensor

    def at(self, start: int) -> tuple[torch.Tensor, torch.Tensor]:
        first = self.positions.index(start)
        return self.reference[:, first : first + GATE_STEPS], self.trusted[:, first : first + GATE_STEPS]


def starts(ctx: int) -> tuple[int, ...]:
    """Returns the positions from which eight steps are compared each."""
    return tuple(dict.fromkeys((GATE_SHORT_CTX, ctx)))


def expect(model: Any, shape: ModelShape, sequence: torch.Tensor, ctx: int) -> Layers:
    """One pass of the reference and one of trusted eager over the sequence [n], while packed layers are plain ones."""
    positions = tuple(sorted({start + step for start in starts(ctx) for step in range(GATE_STEPS)}))
    wanted = torch.tensor(positions, device=sequence.device)
    tokens = sequence[: positions[-1] + 1]
    right = references.of(model, shape, gate.reference_dtype(model.dtype)).hidden(tokens, wanted)
    with _hidden(model, wanted) as seen:
        gate.trusted_logits(model, tokens, wanted)
    return Layers(positions, right.cpu(), torch.stack(seen).cpu())


@contextmanager
def _hidden(model: Any, rows: torch.Tensor | None = None) -> Iterator[list[torch.Tensor]]:
    """Collects what each layer leaves, [tokens, hidden], in the order of the calls; of some `rows` only, if given."""
    seen: list[torch.Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Any) -> None:
        left = output[0] if isinstance(output, tuple) else output
        flat = left.reshape(-1, left.shape[-1])
        seen.append(flat.clone() if rows is None else flat[rows])

    hooks = [layer.register_forward_hook(keep) for layer in model.model.layers]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def lines(step: Step, model: Any, expected: Layers, ctx: int) -> Iterator[str]:
    """Drives the step, launched kernel by kernel, over eight positions from 17 and from ctx.

    Yields for each layer the error of what it leaves (‖Δ‖/‖reference‖ over the eight), trusted eager's, and the ratio.
    """
    if registry.runtime(step.runtime).DECLARATION.owns_model:
        yield "explain-gate: the engine does not show what its layers leave"
        return
    eager = step.eager or step
    for start in starts(ctx):
        eager.prefill(start)
        with _hidden(model) as seen:
            for _ in range(GATE_STEPS):
                eager()
        ours = torch.cat(seen).view(GATE_STEPS, len(model.model.layers), -1).transpose(0, 1).cpu()
        right, trusted = expected.at(start)
        for layer, (own, other, true) in enumerate(zip(ours, trusted, right, strict=True)):
            error, usual = gate.relative_error(own, true), gate.relative_error(other, true)
            ratio = f"{error / usual:.2f}" if usual else "–"
            yield f"explain-gate: from {start}, layer {layer}: error {error:.2e}, trusted {usual:.2e}, ratio {ratio}"
