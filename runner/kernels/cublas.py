"""Unquantised linear layers as torch runs them on a GPU: cuBLAS, cuBLASLt and the GEMV kernels they dispatch to."""

from __future__ import annotations

from runner.declarations import KernelDeclaration

DECLARATION = KernelDeclaration(
    name="cublas",
    quants=("bf16",),
    dtypes=("bf16", "fp16", "fp32"),
    devices=("cuda",),
    signatures=("gemv", "gemm", "nvjet", "dot_kernel"),
    deterministic=True,
    capturable=True,
    stacks=("modern", "paper"),
    default_of=("bf16",),
)
