"""AutoAWQ's own layer on its Triton GEMM. The package runs that one if its CUDA kernels do not load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from runner.declarations import KernelDeclaration
from runner.installation import Installation
from runner.record.statedbound import StatedBound

if TYPE_CHECKING:
    from torch import nn

    from runner.protocols import PackedLayer

DECLARATION = KernelDeclaration(
    name="autoawq-triton",
    quants=("awq",),
    dtypes=("fp16",),
    devices=("cuda",),
    signatures=("awq_gemm_kernel",),
    deterministic=False,  # adds partial sums atomically: two runs differ by about 0.5 % of the logits
    capturable=True,
    package="autoawq",
    module="awq",
    remedy="pip install --no-deps autoawq==0.2.9 && pip install zstandard datasets",
    installation=Installation(sources=("autoawq==0.2.9",)),
    capability=(8, 0),  # Triton's minimum; AutoAWQ's own is 7.5
    bounds={"awq": {"fp16": StatedBound(2.063, 0.057, evidence="committed sessions of Qwen2.5-7B and Mistral-7B")}},
)


def linears(layers: Sequence[PackedLayer]) -> Iterator[nn.Module]:
    """Yields the kernel's layers (`runner.protocols.PackedKernel`)."""
    return map(_linear, layers)


def _linear(layer: PackedLayer) -> nn.Module:
    from awq.modules.linear.gemm import WQLinear_GEMM

    linear: nn.Module = WQLinear_GEMM(
        w_bit=4,
        group_size=layer.scheme.group_size,
        in_features=layer.columns,
        out_features=layer.rows,
        bias=layer.bias is not None,
        dev="meta",
    )
    for name, tensor in layer.tensors.items():
        linear.register_buffer(name, tensor)
    if layer.bias is not None:
        linear.register_buffer("bias", layer.bias.data)
    return linear
