"""The layer of kernel `exllamav2`. Unlike its declaration it needs torch and the extension at import."""

from __future__ import annotations

import exllamav2_ext
import torch
from torch import nn
from torch.nn import functional

from runner.protocols import PackedLayer

NO_TENSOR = torch.empty((1, 1), device="meta")  # the extension's argument for an absent tensor
MAX_KERNEL_ROWS = 32  # MAX_Q_GEMM_ROWS: with more the extension dequantises and calls cuBLAS with float16 sums


class ExllamaV2Linear(nn.Module):
    """A linear layer that owns its tensors for as long as it owns the extension's handle.

    The extension keeps pointers to its arguments, and shuffles the packed weights in place.
    """

    def __init__(self, layer: PackedLayer, scratch: torch.Tensor) -> None:
        super().__init__()
        self.rows, self.scratch = layer.rows, scratch
        self.tensors = dict(layer.tensors)
        self.bias = layer.bias
        order, inverse, groups = NO_TENSOR, NO_TENSOR, NO_TENSOR
        if layer.scheme.desc_act:
            order = self.tensors["order"] = torch.empty(layer.columns, dtype=torch.short, device=layer.device)
            inverse = self.tensors["inverse"] = torch.empty_like(order)
            groups = self.tensors["g_idx"].cpu()
        self.handle = exllamav2_ext.make_q_matrix(
            self.tensors["qweight"],
            order,
            inverse,
            *(NO_TENSOR,) * 4,  # of its own format only
            self.tensors["qzeros"],
            self.tensors["scales"],
            groups,
            NO_TENSOR if self.bias is None else self.bias.data,
            scratch,
            scratch.numel() // layer.rows,  # inputs whose dequantised weights fit there
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if len(flat) > MAX_KERNEL_ROWS:
            return functional.linear(x, self._dequantised(x.shape[-1]), self.bias)
        out = torch.empty((len(flat), self.rows), dtype=torch.half, device=x.device)
        exllamav2_ext.gemm_half_q_half(flat, self.handle, out, False)
        return out.view(*x.shape[:-1], self.rows)

    def _dequantised(self, columns: int) -> torch.Tensor:
        """Returns the matrix [rows, columns], a view of the scratch buffer: the next layer overwrites it.

        torch multiplies it with float32 sums. Float16 sums would triple the error of a prompt's keys and values.
        """
        transposed = self.scratch[: columns * self.rows].view(columns, self.rows)
        exllamav2_ext.reconstruct(self.handle, transposed)
        return transposed.T

    def __del__(self) -> None:
        if (handle := getattr(self, "handle", None)) is not None:
            exllamav2_ext.free_q_matrix(handle)
