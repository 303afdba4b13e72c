"""The trace of a checkpoint: random tokens, of which neighbouring steps answer differently.

Trained weights answer random tokens with the same few tokens again and again. Where two neighbouring steps choose the
same token, a step that does nothing cannot be told by its token.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from runner.gaterules import REPEATABLE_LIMIT

ROUNDS = 8
DISTINCT = 0.25
"""An answer differs clearly from the one before where that token's logit is so many root mean squares of all logits
below the best: several times what the gate lets a token's regret be in bfloat16."""

Answers = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""sequence [n], positions [p] → logits [p, vocab] after the tokens at these positions."""


def settle(sequence: torch.Tensor, timed: range, vocab: int, seed: int, answers: Answers) -> None:
    """Draws tokens at the positions `timed` of the sequence [n] again, in place, where the answer repeats the one
    before. It stops when so few are left that a session has half of the repeats that the gate allows, or after eight
    rounds, each of which costs one pass."""
    generator = torch.Generator().manual_seed(seed)
    positions = torch.arange(timed.start - 1, timed.stop, device=sequence.device)
    for _ in range(ROUNDS):
        repeated = repeats(answers(sequence[: timed.stop], positions))
        if len(repeated) <= REPEATABLE_LIMIT / 2 * len(timed):
            return
        fresh = torch.randint(vocab, (len(repeated),), generator=generator)
        sequence[positions[repeated + 1]] = fresh.to(sequence)


def repeats(logits: torch.Tensor) -> torch.Tensor:
    """Returns each i such that the best token of row i of logits [n, vocab] is still close to the best in row i + 1."""
    before, after = logits[:-1].argmax(dim=1, keepdim=True), logits[1:].float()
    distances = after.amax(dim=1) - after.gather(1, before).squeeze(1)
    return torch.nonzero(distances < DISTINCT * after.square().mean(dim=1).sqrt()).squeeze(1)
