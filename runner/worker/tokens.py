"""Tokens of a session: a random prompt, then a fixed trace, both drawn from the session's seed."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Tokens:
    """Prompt and trace, `sequence` [tokens], and the flag `forced` [1], both on the device.

    While `forced` is true a step consumes the trace instead of the chosen token, and still depends on the choice. All
    arms thus decode the same tokens, and no step can start early.
    """

    sequence: torch.Tensor
    forced: torch.Tensor

    def next(self, position: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Returns the token to consume at `position` [1], shape [1], selected on the device."""
        return torch.where(self.forced, self.sequence.index_select(0, position), chosen)


def draw(vocab: int, count: int, seed: int, device: torch.device) -> Tokens:
    """Returns `count` uniformly random tokens. A seed gives the same tokens on every device."""
    generator = torch.Generator().manual_seed(seed)
    sequence = torch.randint(vocab, (count,), generator=generator)
    return Tokens(sequence.to(device), torch.ones(1, dtype=torch.bool, device=device))
