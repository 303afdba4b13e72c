"""Unquantised linear layers as torch runs them on a CPU: oneDNN or MKL. torch chooses by dtype."""

from __future__ import annotations

from runner.declarations import KernelDeclaration

DECLARATION = KernelDeclaration(
    name="torch-cpu",
    quants=("bf16",),
    dtypes=("bf16", "fp16", "fp32"),
    devices=("cpu",),
    signatures=("aten::addmm", "aten::mm", "aten::mkldnn_linear", "mkldnn::_linear_pointwise"),
    deterministic=True,
    capturable=False,
    stacks=("modern", "paper"),
    default_of=("bf16",),
)
