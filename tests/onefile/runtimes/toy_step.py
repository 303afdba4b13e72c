"""`toy-step`: calls the eager step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runner.runtimes import eager

if TYPE_CHECKING:
    import torch

    from runner.declarations import Tokens
    from runner.job import Job

DECLARATION = replace(eager.DECLARATION, name="toy-step", made_of_eager=True)


class ToyStep(eager.StepOverEager):
    """See `runner.declarations.Step`."""

    runtime = "toy-step"

    @property
    def logits(self) -> torch.Tensor:
        return self._step.logits

    def __call__(self) -> torch.Tensor:
        return self._step()


def build(model: Any, tokens: Tokens, job: Job) -> ToyStep:
    """Returns a step over the eager step of this job's cell."""
    return ToyStep(eager.build(model, tokens, job))
