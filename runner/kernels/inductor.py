"""Unquantised linear layers as torch.compile's `max-autotune` chooses them by timing: cuBLAS, or a generated Triton
kernel. The choice is made anew in every session whose compile cache is empty."""

from __future__ import annotations

from dataclasses import replace

from runner.kernels import cublas

DECLARATION = replace(
    cublas.DECLARATION,
    name="inductor",
    signatures=(*cublas.DECLARATION.signatures, "triton_tem"),
    deterministic=False,
    mode="max-autotune",
)
