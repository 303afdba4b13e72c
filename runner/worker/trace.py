"""The trace of a checkpoint: tokens that the model chooses itself, so that neighbouring steps choose different tokens.

After random tokens, trained weights choose the same few tokens repeatedly. The gate recognises a step that does nothing
by its token only if two neighbouring steps choose different ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from runner.runtimes.eager import EagerStep

CANDIDATES = 8
DISTINCT = 1.0
"""Least distance of a token from a step's choice, in root mean squares of the logits, at which they differ clearly."""


@dataclass(frozen=True)
class _Answer:
    """A step's chosen token and logits [vocab].

    `distance` is the best logit minus that of the token chosen before, in root mean squares of the logits.
    """

    chosen: int
    logits: torch.Tensor
    distance: float


def write(step: EagerStep, start: int, stop: int) -> None:
    """Writes the tokens at the positions [start, stop) of the step's sequence, in place.

    Each is the most likely of eight candidates after which the model's choice clearly differs from its choice before.
    If there is none, it is the candidate with the largest distance.
    """
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
    return _consume(step, position, max(tried, key=lambda token: tried[token].distance), before.chosen)


def _consume(step: EagerStep, position: int, token: int, chosen_before: int) -> _Answer:
    step.tokens.sequence[position] = token
    step.restart(position)
    chosen = int(step())
    logits = step.logits.float()
    distance = (logits.max() - logits[chosen_before]) / logits.square().mean().sqrt()
    return _Answer(chosen, step.logits, float(distance))
