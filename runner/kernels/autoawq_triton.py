"""AutoAWQ's own layer on its Triton GEMM, which is what that package runs where its CUDA kernels do not load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from runner.registry import KernelDeclaration

if TYPE_CHECKING:
    from torch import nn

    from runner.worker.plainlinear import PlainLinear

DECLARATION = KernelDeclaration(
    name="autoawq-triton",
    quants=("awq",),
    dtypes=("fp16",),
    devices=("cuda",),
    signatures=("awq_gemm_kernel",),
    deterministic=False,  # the parts of a sum meet atomically: two runs differ by some 0.5 % of the logits
    capturable=True,
    package="autoawq",
    module="awq",
    remedy="pip install --no-deps autoawq==0.2.9 && pip install zstandard datasets",
)


def linears(plains: Sequence[PlainLinear]) -> Iterator[nn.Module]:
    """See `runner.registry.PackedKernel`."""
    return map(_linear, plains)


def _linear(plain: PlainLinear) -> nn.Module:
    from awq.modules.linear.gemm import WQLinear_GEMM

    linear: nn.Module = WQLinear_GEMM(
        w_bit=4,
        group_size=plain.scheme.group_size,
        in_features=plain.columns,
        out_features=plain.rows,
        bias=plain.bias is not None,
        dev="meta",
    )
    for name, tensor in plain.tensors.items():
        linear.register_buffer(name, tensor)
    if plain.bias is not None:
        linear.register_buffer("bias", plain.bias.data)
    return linear
