"""`toy-linear`: dequantises the matrix and multiplies by it, in one operator of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from runner import registry
from runner.declarations import KernelDeclaration

if TYPE_CHECKING:
    import torch
    from torch import nn

    from runner.protocols import PackedLayer

OPERATOR = "toy::linear"
DECLARATION = KernelDeclaration(
    name="toy-linear",
    quants=("toy-int8", "bnb-nf4"),
    dtypes=("bf16", "fp32"),
    devices=("cpu",),
    signatures=(OPERATOR,),
    deterministic=True,
    capturable=False,
)


def linears(layers: Sequence[PackedLayer]) -> Iterator[nn.Module]:
    """Yields a layer of this kernel for each packed one."""
    from torch import nn

    class ToyLinear(nn.Module):
        def __init__(self, layer: PackedLayer) -> None:
            super().__init__()
            self.layer, self.tensors, self.bias = layer, dict(layer.tensors), layer.bias

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            chosen, scheme = registry.packed_format(self.layer.quant), self.layer.scheme
            matrix = chosen.dequantise(self.tensors, scheme, self.layer.columns, slice(0, self.layer.rows))
            product: torch.Tensor = _operator()(x, matrix.to(x.dtype), self.bias)
            return product

    return map(ToyLinear, layers)


@cache
def _operator() -> Any:
    """Registers the operator whose name the profile shows."""
    import torch

    schema = "(Tensor x, Tensor matrix, Tensor? bias) -> Tensor"
    return torch.library.custom_op(OPERATOR, torch.nn.functional.linear, mutates_args=(), schema=schema)
