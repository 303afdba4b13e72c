"""A quantised linear layer in plain arithmetic: it dequantises the matrix and multiplies with torch.

Trusted eager runs it, the reference reads it, and each kernel's own layer is made from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from runner import registry
from runner.cell.scheme import Scheme
from runner.protocols import PackedFormat

BLOCK_ELEMENTS = 2**24  # per dequantised block: 64 MiB in float32, and the arithmetic copies it a few times


class PlainLinear(nn.Module):
    """Layer y = x · Wᵀ + bias, with W [rows, columns] = [out, in] packed in `tensors`.

    The dequantised matrix exists only during a call. `dtype` is the cell's.
    """

    def __init__(
        self,
        quant: str,
        scheme: Scheme,
        size: tuple[int, int],
        tensors: Mapping[str, torch.Tensor],
        bias: nn.Parameter | None,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.dtype = dtype
        self.quant, self.scheme, self.tensors = quant, scheme, dict(tensors)
        self.rows, self.columns = size
        self.bias = bias
        self._cached_matrix: torch.Tensor | None = None

    @property
    def format(self) -> PackedFormat:
        return registry.packed_format(self.quant)

    @property
    def bytes(self) -> int:
        """Returns the bytes of the packed tensors, without the bias, which is a parameter."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def device(self) -> torch.device:
        return next(iter(self.tensors.values())).device

    @property
    def shape(self) -> tuple[int, int]:
        """Returns the shape of the matrix."""
        return self.rows, self.columns

    def __getitem__(self, rows: slice) -> torch.Tensor:
        """Returns rows of the matrix, float32, by a slice as of a tensor."""
        start, stop, _ = rows.indices(self.rows)
        blocks = list(self._blocks(start, stop))
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks)

    def matrix(self, dtype: torch.dtype) -> torch.Tensor:
        """Returns the matrix [rows, columns], each value rounded once."""
        return torch.cat([block.to(dtype) for block in self._blocks(0, self.rows)])

    def _blocks(self, start: int, stop: int) -> Iterator[torch.Tensor]:
        size = max(8, BLOCK_ELEMENTS // self.columns // 8 * 8)
        for first in range(start, stop, size):
            rows = slice(first, min(first + size, stop))
            yield self.format.dequantise(self.tensors, self.scheme, self.columns, rows)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        matrix = self.matrix(x.dtype) if self._cached_matrix is None else self._cached_matrix
        return nn.functional.linear(x, matrix, self.bias)


def quantised(linear: nn.Linear, quant: str, scheme: Scheme) -> PlainLinear:
    """Returns a linear layer with its weight quantised."""
    size = (linear.out_features, linear.in_features)
    tensors = registry.packed_format(quant).quantise(linear.weight, scheme)
    return PlainLinear(quant, scheme, size, tensors, linear.bias, linear.weight.dtype)


@contextmanager
def unpacked(model: nn.Module) -> Iterator[None]:
    """Caches each layer's matrix in its dtype while the context is open, so that many passes dequantise it once."""
    plains = plain_linears(model).values()
    for plain in plains:
        plain._cached_matrix = plain.matrix(plain.dtype)
    try:
        yield
    finally:
        for plain in plains:
            plain._cached_matrix = None


def plain_linears(model: nn.Module) -> dict[str, PlainLinear]:
    """Returns all plain linear layers of a model, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, PlainLinear)}
