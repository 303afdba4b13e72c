"""The layer of kernel `exllamav2`; apart from its declaration because it is made of torch and of the extension."""

from __future__ import annotations

import exllamav2_ext
import torch
from torch import nn
from torch.nn import functional

from runner.protocols import PackedLayer

NONE = torch.empty((1, 1), device="meta")  # how the extension is told that a tensor is not there
KERNEL_ROWS = 32  # beyond so many (MAX_Q_GEMM_ROWS) the extension dequantises, and calls cuBLAS with float16 sums


class ExllamaV2Linear(nn.Module):
    """The extension keeps pointers to all it is given, and shuffles the packed weights in place: this module holds the
    tensors for as long as it holds the handle."""

    def __init__(self, layer: PackedLayer, scratch: torch.Tensor) -> None:
        super().__init__()
        self.rows, self.scratch = layer.rows, scratch
        self.tensors = dict(layer.tensors)
        self.bias = layer.bias
        order, inverse, groups = NONE, NONE, NONE
        if layer.scheme.desc_act:
            order = self.tensors["order"] = torch.empty(layer.columns, dtype=torch.short, device=layer.device)
            inverse = self.tensors["inverse"] = torch.empty_like(order)
            groups = self.tensors["g_idx"].cpu()
        self.handle = exllamav2_ext.make_q_matrix(
            self.tensors["qweight"],
            order,
            inverse,
            *(NONE,) * 4,  # what only its own format has
            self.tensors["qzeros"],
            self.tensors["scales"],
            groups,
            NONE if self.bias is None else self.bias.data,
            scratch,
            scratch.numel() // layer.rows,  # inputs that fit there dequantised
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if len(flat) > KERNEL_ROWS:
            return functional.linear(x, self._dequantised(x.shape[-1]), self.bias)
        out = torch.empty((len(flat), self.rows), dtype=torch.half, device=x.device)
        exllamav2_ext.gemm_half_q_half(flat, self.handle, out, False)
        return out.view(*x.shape[:-1], self.rows)

    def _dequantised(self, columns: int) -> torch.Tensor:
        """Returns the matrix [rows, columns]; it lies in the scratch buffer until the next layer's is asked for.

        torch's product with it has float32 sums. With float16 sums a prompt's keys and values err three times as much.
        """
        transposed = self.scratch[: columns * self.rows].view(columns, self.rows)
        exllamav2_ext.reconstruct(self.handle, transposed)
        return transposed.T

    def __del__(self) -> None:
        if (handle := getattr(self, "handle", None)) is not None:
            exllamav2_ext.free_q_matrix(handle)
