"""The trace of a checkpoint: tokens that the model chooses itself, so that neighbouring steps answer differently.

Trained weights answer random tokens with the same few tokens again and again. A step that does nothing cannot be told
by its token if two neighbouring steps choose the same one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from runner.runtimes.eager import EagerStep

CANDIDATES = 8
DISTINCT = 1.0
"""A token differs clearly from a step's choice where its logit is so many root mean squares of the logits below it."""


@dataclass(frozen=True)
class _Answer:
    """What a step chose, its logits [vocab], and how far below its best logit the token chosen before it is."""

    chosen: int
    logits: torch.Tensor
    distance: float


def write(step: EagerStep, start: int, stop: int) -> None:
    """Writes the tokens at the positions [start, stop) of the step's sequence, in place.

    Each is the most likely token after those before it of which the model's answer clearly differs from its answer
    before; of eight that all answer alike, the one that answers least alike."""
    answer = _Answer(int(step.prefill(start)), step.logits, 0.0)
    for position in range(start, stop):
        answer = _extend(step, position, answer)


def _extend(step: EagerStep, position: int, before: _Answer) -> _Answer:
    candidates = before.logits.topk(CANDIDATES).indices.tolist()
    tried = {}
    for candidate in candidates:
        tried[candidate] = _consume(step, position, candidate, before.chosen)
        if tried[candidate].distance >= DISTINCT:
            return tried[candidate]
    return _consume(step, position, max(tried, key=lambda each: tried[each].distance), before.chosen)


def _consume(step: EagerStep, position: int, token: int, chosen_before: int) -> _Answer:
    step.tokens.sequence[position] = token
    step.restart(position)
    chosen = int(step())
    logits = step.logits.float()
    distance = (logits.max() - logits[chosen_before]) / logits.square().mean().sqrt()
    return _Answer(chosen, step.logits, float(distance))
