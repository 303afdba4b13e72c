"""bitsandbytes' 4-bit product: the package's own Linear4bit around the packed tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from runner.declarations import KernelDeclaration
from runner.installation import Installation
from runner.record.statedbound import StatedBound

if TYPE_CHECKING:
    from torch import nn

    from runner.protocols import PackedLayer

DECLARATION = KernelDeclaration(
    name="bitsandbytes",
    quants=("bnb-nf4",),
    dtypes=("bf16", "fp16", "fp32"),
    devices=("cuda", "cpu"),
    signatures=("gemm_4bit", "gemv_4bit"),
    deterministic=True,
    capturable=True,
    package="bitsandbytes",
    module="bitsandbytes",
    remedy="pip install bitsandbytes==0.50.2",
    installation=Installation(wheels=("bitsandbytes==0.50.2",)),
    capability=(6, 0),  # for nf4, by its installation guide
    stacks=("modern", "paper"),
    default_of=("bnb-nf4",),
    bounds={"bnb-nf4": {"bf16": StatedBound(1.096, 0.055, evidence="committed sessions of Qwen2.5-7B and Mistral-7B")}},
)


def linears(layers: Sequence[PackedLayer]) -> Iterator[nn.Module]:
    """Yields the kernel's layers (`runner.protocols.PackedKernel`)."""
    return map(_linear, layers)


def _linear(layer: PackedLayer) -> nn.Module:
    from bitsandbytes.nn import Linear4bit, Params4bit

    state = _state(layer)
    linear = Linear4bit(
        layer.columns, layer.rows, bias=False, compute_dtype=layer.dtype, quant_type="nf4", device="meta"
    )
    linear.weight = Params4bit(
        layer.tensors["weight"],
        quant_state=state,
        blocksize=layer.scheme.group_size,
        compress_statistics=layer.scheme.double_quant,
        quant_type="nf4",
        module=linear,
        bnb_quantized=True,
    )
    linear.quant_state = state
    # On a CPU with AVX512-BF16 the first forward would repack the weights for a bfloat16 product, with magnitudes in
    # bfloat16. The accounted bytes would then be wrong, and single and double quantisation would be the same.
    linear.support_avx512bf16_for_cpu = False
    if layer.bias is not None:
        linear.bias = layer.bias
    module: nn.Module = linear
    return module


def _state(layer: PackedLayer) -> Any:
    """Returns the package's description of the packed tensors."""
    import torch
    from bitsandbytes.functional import QuantState

    from runner.formats.bnb_nf4 import NESTED_BLOCK

    tensors, nested = layer.tensors, None
    if layer.scheme.double_quant:
        nested = QuantState(
            absmax=tensors["weight.nested_absmax"],
            code=tensors["weight.nested_quant_map"],
            blocksize=NESTED_BLOCK,
            dtype=torch.float32,
        )
    return QuantState(
        absmax=tensors["weight.absmax"],
        shape=torch.Size(layer.shape),
        code=tensors["weight.quant_map"],
        blocksize=layer.scheme.group_size,
        quant_type="nf4",
        dtype=layer.dtype,
        offset=tensors.get("weight.nested_offset"),
        state2=nested,
    )
