"""Marlin (arXiv 2408.11743) as GPTQModel builds it: its layers for AWQ with zero points and for symmetric GPTQ."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cell.scheme import Scheme
from runner.declarations import KernelDeclaration
from runner.installation import Installation
from runner.record.statedbound import StatedBound

if TYPE_CHECKING:
    import torch
    from torch import nn

    from runner.protocols import PackedLayer

AWQ, GPTQ = "awq", "gptq"
PREBUILT = {"torch.float16": "gptqmodel_marlin_fp16_ops.so", "torch.bfloat16": "gptqmodel_marlin_bf16_ops.so"}
GROUP_SIZES = (32, 64, 128)
EVIDENCE = "committed sessions of Qwen2.5-7B and Mistral-7B"


def _refuses(scheme: Scheme, quant: str) -> str | None:
    if quant == GPTQ and not scheme.sym:
        return "it has no zero points for gptq: sym:false needs kernel=exllamav2"
    if scheme.group_size not in GROUP_SIZES:
        return f"it takes groups of {', '.join(map(str, GROUP_SIZES))}, not of {scheme.group_size}"
    return None


DECLARATION = KernelDeclaration(
    name="marlin",
    quants=(AWQ, GPTQ),
    dtypes=("fp16", "bf16"),
    devices=("cuda",),
    signatures=("marlin::Marlin",),
    deterministic=False,  # its AWQ layer adds partial sums of narrow matrices atomically
    capturable=True,
    package="gptqmodel",
    module="gptqmodel",
    remedy="pip install gptqmodel==7.3.6 torchvision==0.26.0 (its kernels are compiled at first use, or put the "
    "compiled gptqmodel_marlin_*_ops.so on PYTHONPATH)",
    installation=Installation(
        wheels=("torchvision==0.26.0", "requests"),  # imported, but not declared as dependencies
        sources=(
            *("gptqmodel==7.3.6", "defuser==0.0.28", "device-smi==0.5.7"),
            *("logbar==0.4.15", "pypcre==0.6.4", "tokenicer==0.0.14"),
        ),
        beside=(
            *("threadpoolctl", "pillow", "torchvision"),
            *("requests", "urllib3", "charset-normalizer", "idna", "certifi"),
        ),
        compiled=("gptqmodel_*_ops.so",),
        operators=tuple(PREBUILT.values()),
    ),
    capability=(8, 0),  # its AWQ layer's minimum; its GPTQ layer's is 7.5
    default_of=(AWQ,),
    refuses=_refuses,
    bounds={
        AWQ: {"fp16": StatedBound(1.344, 0.052, EVIDENCE)},
        GPTQ: {"fp16": StatedBound(1.039, 0.028, EVIDENCE)},
    },
)


def linears(layers: Sequence[PackedLayer]) -> Iterator[nn.Module]:
    """Yields the kernel's layers (`runner.protocols.PackedKernel`)."""
    _load_prebuilt(layers[0].dtype)
    return map(_linear, layers)


def _load_prebuilt(dtype: torch.dtype) -> None:
    """Loads the compiled kernels if a folder of the module path has them: GPTQModel then compiles nothing."""
    import torch

    library = next((file for folder in sys.path if (file := Path(folder) / PREBUILT[str(dtype)]).is_file()), None)
    if library:
        torch.ops.load_library(str(library))


def _linear(layer: PackedLayer) -> nn.Module:
    import torch
    from gptqmodel.nn_modules.qlinear.marlin import MarlinLinear
    from gptqmodel.nn_modules.qlinear.marlin_awq import AwqMarlinLinear
    from torch import nn

    kind = AwqMarlinLinear if layer.quant == AWQ else MarlinLinear
    with torch.device("meta"):
        linear = kind(
            bits=4,
            group_size=layer.scheme.group_size,
            desc_act=layer.scheme.desc_act,
            sym=layer.scheme.sym,
            in_features=layer.columns,
            out_features=layer.rows,
            bias=layer.bias is not None,
            dtype=layer.dtype,
            register_buffers=True,
        )
    for name, tensor in layer.tensors.items():
        converted = tensor.to(layer.dtype) if tensor.is_floating_point() else tensor
        linear.register_parameter(name, nn.Parameter(converted, requires_grad=False))
    if layer.bias is not None:
        linear.bias = layer.bias.data.clone()
    linear.post_init()
    module: nn.Module = linear
    return module
