"""The tokens of a session: a random prompt and the fixed trace that follows it, drawn from the session's seed."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Tokens:
    """`sequence` [tokens] holds prompt and trace on the device. While `forced` [1] is true a step consumes the trace
    whatever was chosen, and yet depends on the choice: arms decode the same thing, and no step can start early."""

    sequence: torch.Tensor
    forced: torch.Tensor

    def next(self, position: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """The token to consume at `position` [1], shape [1]; selected on the device."""
        return torch.where(self.forced, self.sequence.index_select(0, position), chosen)


def draw(vocab: int, count: int, seed: int, device: torch.device) -> Tokens:
    """`count` uniformly random tokens; the same for the same seed on every device."""
    generator = torch.Generator().manual_seed(seed)
    sequence = torch.randint(vocab, (count,), generator=generator)
    return Tokens(sequence.to(device), torch.ones(1, dtype=torch.bool, device=device))
