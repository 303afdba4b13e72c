"""Comparison of the hidden state after each layer with the reference's, to find the layer at which a step goes wrong.

It is for debugging and not part of a record. The step is driven after all timed passes.
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
    """Hidden states [layers, p, hidden] at sorted positions, on the host, of the reference and of trusted eager."""

    positions: tuple[int, ...]
    reference: torch.Tensor
    trusted: torch.Tensor

    def at(self, start: int) -> tuple[torch.Tensor, torch.Tensor]:
        first = self.positions.index(start)
        return self.reference[:, first : first + GATE_STEPS], self.trusted[:, first : first + GATE_STEPS]


def starts(ctx: int) -> tuple[int, ...]:
    """Returns the positions from which eight steps each are compared."""
    return tuple(dict.fromkeys((GATE_SHORT_CTX, ctx)))


def expect(model: Any, shape: ModelShape, sequence: torch.Tensor, ctx: int) -> Layers:
    """Runs one pass of the reference and one of trusted eager over the sequence [n].

    Packed layers must still be plain ones.
    """
    positions = tuple(sorted({start + step for start in starts(ctx) for step in range(GATE_STEPS)}))
    rows = torch.tensor(positions, device=sequence.device)
    tokens = sequence[: positions[-1] + 1]
    reference = references.for_model(model, shape, gate.reference_dtype(model.dtype)).hidden(tokens, rows)
    with _hidden(model, rows) as states:
        gate.trusted_logits(model, tokens, rows)
    return Layers(positions, reference.cpu(), torch.stack(states).cpu())


@contextmanager
def _hidden(model: Any, rows: torch.Tensor | None = None) -> Iterator[list[torch.Tensor]]:
    """Yields a list that collects the output [tokens, hidden] of each layer, in the order of the calls.

    With `rows` it collects these rows only.
    """
    states: list[torch.Tensor] = []

    def collect(_module: Any, _inputs: Any, output: Any) -> None:
        state = output[0] if isinstance(output, tuple) else output
        flat = state.reshape(-1, state.shape[-1])
        states.append(flat.clone() if rows is None else flat[rows])

    hooks = [layer.register_forward_hook(collect) for layer in model.model.layers]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()


def lines(step: Step, model: Any, expected: Layers, ctx: int) -> Iterator[str]:
    """Drives the step, launched kernel by kernel, over eight positions from 17 and from ctx.

    Yields for each layer the error of its output (‖Δ‖/‖reference‖ over the eight), trusted eager's, and the ratio.
    """
    if registry.runtime(step.runtime).DECLARATION.owns_model:
        yield "explain-gate: the engine does not expose the output of its layers"
        return
    eager = step.eager or step
    for start in starts(ctx):
        eager.prefill(start)
        with _hidden(model) as states:
            for _ in range(GATE_STEPS):
                eager()
        outputs = torch.cat(states).view(GATE_STEPS, len(model.model.layers), -1).transpose(0, 1).cpu()
        for layer, (output, reference, trusted) in enumerate(zip(outputs, *expected.at(start), strict=True)):
            error, trusted_error = (gate.relative_error(state, reference) for state in (output, trusted))
            ratio = f"{error / trusted_error:.2f}" if trusted_error else "–"
            errors = f"error {error:.2e}, trusted {trusted_error:.2e}, ratio {ratio}"
            yield f"explain-gate: from {start}, layer {layer}: {errors}"
