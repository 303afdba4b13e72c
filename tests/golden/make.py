"""Make the golden tensors beside this file, with the packages themselves, on a host with a CUDA GPU:

python -m tests.golden.make FOLDER

Each file holds what a package packed of one random matrix, and what it and its kernels dequantise of that; its metadata
names the versions. `tests/runner/formats/test_golden.py` compares own packing and arithmetic with them, bit by bit.
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import save_file

ROWS, COLUMNS, GROUP = 64, 384, 128
PACKAGES = ("torch", "transformers", "triton", "bitsandbytes", "gptqmodel", "exllamav2", "autoawq")
Tensors = dict[str, torch.Tensor]


def weight(dtype: torch.dtype) -> torch.Tensor:
    """[ROWS, COLUMNS], every group with a spread and a mean of its own."""
    generator = torch.Generator().manual_seed(7)
    values = torch.randn(ROWS, COLUMNS, generator=generator) / COLUMNS**0.5
    spread = 0.5 + torch.rand(ROWS, COLUMNS // GROUP, 1, generator=generator)
    mean = 0.3 * torch.randn(ROWS, COLUMNS // GROUP, 1, generator=generator) / COLUMNS**0.5
    return (values.view(ROWS, -1, GROUP) * spread + mean).view(ROWS, COLUMNS).to(dtype).cuda()


def bnb(double: bool, dtype: torch.dtype) -> Tensors:
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    packed, state = quantize_4bit(weight(dtype), blocksize=64, compress_statistics=double, quant_type="nf4")
    found = {"weight": packed, **{f"weight.{name}": value for name, value in state.as_dict(packed=True).items()}}
    identity = torch.eye(COLUMNS, dtype=dtype, device="cuda")
    from bitsandbytes import matmul_4bit

    rows = torch.cat([matmul_4bit(row[None], packed, quant_state=state) for row in identity])
    return {**found, "original": weight(dtype), "dequantised": dequantize_4bit(packed, state), "by_kernel": rows.T}


def integers(symmetric: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales and zeros [ROWS, groups] as a quantiser chooses them, on the CPU."""
    grouped = weight(torch.float16).cpu().float().view(ROWS, -1, GROUP)
    low, high = grouped.amin(-1), grouped.amax(-1)
    if symmetric:
        scales = torch.maximum(-low, high) * 2 / 15
        return scales.half().float(), torch.full_like(scales, 8)
    scales = ((high - low) / 15).half().float()
    return scales, torch.round(-low / scales).clamp(1, 15)


def gptq(symmetric: bool, order: bool) -> Tensors:
    import exllamav2_ext
    from gptqmodel.nn_modules.qlinear.torch import TorchLinear
    from gptqmodel.utils.model import convert_gptq_v2_to_v1_format_module

    scales, zeros = integers(symmetric)
    groups = torch.arange(COLUMNS) // GROUP
    if order:
        groups = groups[torch.randperm(COLUMNS, generator=torch.Generator().manual_seed(3))]
    linear = torch.nn.Linear(COLUMNS, ROWS, bias=False, dtype=torch.float32)
    linear.weight.data = weight(torch.float16).cpu().float()
    made = TorchLinear(4, GROUP, symmetric, order, COLUMNS, ROWS, bias=False)
    made.pack_original(linear, scales, zeros, groups.int())
    made.post_init()
    dequantised = made.dequantize_weight().T
    convert_gptq_v2_to_v1_format_module(made, SimpleNamespace(bits=4, pack_dtype=torch.int32))
    found = {name: getattr(made, name).clone() for name in ("qweight", "qzeros", "scales", "g_idx")}
    none = torch.empty((1, 1), device="meta")
    own = {name: tensor.cuda() for name, tensor in found.items()}
    perms = [torch.empty(COLUMNS, dtype=torch.short, device="cuda") if order else none for _ in range(2)]
    scratch = torch.empty(ROWS * COLUMNS, dtype=torch.half, device="cuda")
    g_idx = own["g_idx"].cpu() if order else none
    handle = exllamav2_ext.make_q_matrix(
        own["qweight"], *perms, none, none, none, none, own["qzeros"], own["scales"], g_idx, none, scratch, 0
    )
    rebuilt = torch.empty((COLUMNS, ROWS), dtype=torch.half, device="cuda")
    exllamav2_ext.reconstruct(handle, rebuilt)
    torch.cuda.synchronize()
    return {**found, "original": weight(torch.float16), "dequantised": dequantised, "by_exllamav2": rebuilt.T}


def awq() -> Tensors:
    from awq.modules.linear.gemm import WQLinear_GEMM
    from awq.modules.triton.gemm import awq_dequantize_triton
    from awq.utils.packing_utils import dequantize_gemm

    scales, zeros = (value.T.contiguous().cuda() for value in integers(False))
    linear = torch.nn.Linear(COLUMNS, ROWS, bias=False, dtype=torch.float16, device="cuda")
    linear.weight.data = weight(torch.float16)
    made = WQLinear_GEMM.from_linear(linear, 4, GROUP, scales=scales.half(), zeros=zeros.half())
    packed = (made.qweight, made.qzeros, made.scales)
    found = dict(zip(("qweight", "qzeros", "scales"), packed, strict=True))
    dequantised = dequantize_gemm(*packed, 4, GROUP).T
    by_triton = awq_dequantize_triton(made.qweight, made.scales, made.qzeros).T
    return {**found, "original": weight(torch.float16), "dequantised": dequantised, "by_triton": by_triton}


def main(folder: Path) -> None:
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    metadata = {"gpu": torch.cuda.get_device_name(), "made_by": "tests/golden/make.py", **versions}
    files = {
        "bnb-nf4-bf16": lambda: bnb(True, torch.bfloat16),
        "bnb-nf4-fp16": lambda: bnb(True, torch.float16),
        "bnb-nf4-single": lambda: bnb(False, torch.bfloat16),
        "gptq-sym": lambda: gptq(True, False),
        "gptq-asym": lambda: gptq(False, False),
        "gptq-desc-act": lambda: gptq(True, True),
        "awq": awq,
    }
    folder.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        for name, make in files.items():
            tensors = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in make().items()}
            save_file(tensors, folder / f"{name}.safetensors", metadata)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
