"""A quantised linear layer by plain arithmetic: dequantise the matrix, multiply as torch does. It is what trusted eager
runs, what the reference reads, and what each kernel's own layer is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from runner import registry
from runner.cell.scheme import Scheme
from runner.protocols import PackedFormat

BLOCK_ELEMENTS = 2**24  # dequantised at once: the arithmetic's copies take a few times its 64 MiB in float32


class PlainLinear(nn.Module):
    """y = x · Wᵀ + bias with W [rows, columns] = [out, in] packed in `tensors`; one transient matrix at a time. `dtype`
    is the cell's."""

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
        self._kept: torch.Tensor | None = None

    @property
    def format(self) -> PackedFormat:
        return registry.packed_format(self.quant)

    @property
    def bytes(self) -> int:
        """Of the packed tensors; the bias is a parameter."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def device(self) -> torch.device:
        return next(iter(self.tensors.values())).device

    @property
    def shape(self) -> tuple[int, int]:
        """As the matrix that it stands for."""
        return self.rows, self.columns

    def __getitem__(self, rows: slice) -> torch.Tensor:
        """Rows of the matrix, float32; a slice of them as of a tensor."""
        start, stop, _ = rows.indices(self.rows)
        blocks = list(self._blocks(start, stop))
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks)

    def matrix(self, dtype: torch.dtype) -> torch.Tensor:
        """The whole matrix [rows, columns], each value rounded once."""
        return torch.cat([block.to(dtype) for block in self._blocks(0, self.rows)])

    def _blocks(self, start: int, stop: int) -> Iterator[torch.Tensor]:
        size = max(8, BLOCK_ELEMENTS // self.columns // 8 * 8)
        for first in range(start, stop, size):
            rows = slice(first, min(first + size, stop))
            yield self.format.dequantise(self.tensors, self.scheme, self.columns, rows)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.matrix(x.dtype) if self._kept is None else self._kept, self.bias)


def of(linear: nn.Linear, quant: str, scheme: Scheme) -> PlainLinear:
    """A linear layer with its weight quantised."""
    size = (linear.out_features, linear.in_features)
    tensors = registry.packed_format(quant).quantise(linear.weight, scheme)
    return PlainLinear(quant, scheme, size, tensors, linear.bias, linear.weight.dtype)


@contextmanager
def unpacked(model: nn.Module) -> Iterator[None]:
    """Keeps each layer's matrix in its dtype while entered, so that many passes dequantise it once."""
    plains = plain_linears(model).values()
    for plain in plains:
        plain._kept = plain.matrix(plain.dtype)
    try:
        yield
    finally:
        for plain in plains:
            plain._kept = None


def plain_linears(model: nn.Module) -> dict[str, PlainLinear]:
    """Every such layer of a model, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, PlainLinear)}
