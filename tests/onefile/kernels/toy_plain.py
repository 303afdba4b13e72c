"""`toy-plain`: multiplies unquantised weights, the two halves of a matrix one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from runner.declarations import KernelDeclaration

if TYPE_CHECKING:
    import torch
    from torch import nn

OPERATOR = "toy::half"
DECLARATION = KernelDeclaration(
    name="toy-plain",
    quants=("bf16",),
    dtypes=("bf16", "fp32"),
    devices=("cpu",),
    signatures=(OPERATOR,),
    launches_per_product=2,
    deterministic=True,
    capturable=False,
)


def linears(layers: Sequence[nn.Linear]) -> Iterator[nn.Module]:
    """Yields a layer of this kernel for each of the decoder's."""
    import torch
    from torch import nn

    class ToyLinear(nn.Module):
        def __init__(self, linear: nn.Linear) -> None:
            super().__init__()
            self.weight, self.bias = linear.weight, linear.bias

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            product = torch.cat([_operator()(x, half) for half in self.weight.chunk(2)], dim=-1)
            return product if self.bias is None else product + self.bias

    return map(ToyLinear, layers)


@cache
def _operator() -> Any:
    """Registers the operator whose name the profile shows."""
    import torch

    schema = "(Tensor x, Tensor matrix) -> Tensor"
    return torch.library.custom_op(OPERATOR, torch.nn.functional.linear, mutates_args=(), schema=schema)
