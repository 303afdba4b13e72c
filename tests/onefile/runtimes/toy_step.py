"""`toy-step`: calls the eager step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runner.cell.floors import GATE_SHORT_CTX
from runner.runtimes import eager

if TYPE_CHECKING:
    import torch

    from runner.declarations import Tokens
    from runner.job import Job

DECLARATION = replace(eager.DECLARATION, name="toy-step", made_of_eager=True)


class ToyStep(eager.StepOverEager):
    """See `runner.declarations.Step`."""

    runtime = "toy-step"

    def __init__(self, step: eager.EagerStep) -> None:
        super().__init__(step)
        self.logits = step.logits

    def __call__(self) -> torch.Tensor:
        chosen = self._step()
        self.logits = self._step.logits
        return chosen


def build(model: Any, tokens: Tokens, job: Job) -> ToyStep:
    """Returns a step over the eager step of this job's cell, which has some logits already."""
    step = eager.build(model, tokens, job)
    step.prefill(GATE_SHORT_CTX)
    return ToyStep(step)
