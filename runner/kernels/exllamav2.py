"""exllamav2's GPTQ product, called from its compiled extension, without the package's own model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from runner.declarations import KernelDeclaration
from runner.installation import Installation
from runner.record.statedbound import DerivedUnder, StatedBound

if TYPE_CHECKING:
    from torch import nn

    from runner.cell.shape import ModelShape
    from runner.protocols import PackedLayer

HALF = 2


def _scratch_bytes(shape: ModelShape) -> int:
    """Returns the bytes of the buffer that all layers share: those of the largest matrix in float16."""
    return HALF * max(rows * columns for rows, columns in shape.linear_shapes)


DECLARATION = KernelDeclaration(
    name="exllamav2",
    quants=("gptq",),
    dtypes=("fp16",),
    devices=("cuda",),
    signatures=("gemm_half_q_half",),
    deterministic=False,  # adds partial sums atomically
    capturable=True,
    package="exllamav2",
    module="exllamav2_ext",
    remedy="build its extension: pip install --no-build-isolation exllamav2==0.3.2, where nvcc is",
    installation=Installation(sources=("exllamav2==0.3.2",), compiled=("exllamav2_ext.so",)),
    capability=(6, 0),  # the minimum that its authors build for
    stacks=("modern", "paper"),
    default_of=("gptq",),
    workspace_bytes=_scratch_bytes,
    bounds={
        "gptq": {
            "fp16": StatedBound(
                ratio=2.352,
                spread=0.063,
                evidence="committed sessions of gate version 2: a prompt is multiplied with float32 sums since then",
                noise=0.03,
                derived_under=DerivedUnder(code_key="92ba8080998f", ratio=3.769, spread=0.069),
            )
        }
    },
)


def linears(layers: Sequence[PackedLayer]) -> Iterator[nn.Module]:
    """Yields the kernel's layers (`runner.protocols.PackedKernel`).

    All share one scratch buffer. For a prompt it holds the dequantised matrix.
    """
    import torch

    from runner.kernels import _exllamav2linear

    scratch = torch.empty(
        max(layer.rows * layer.columns for layer in layers), dtype=torch.half, device=layers[0].device
    )
    return (_exllamav2linear.ExllamaV2Linear(layer, scratch) for layer in layers)
