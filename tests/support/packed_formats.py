"""Golden tensors (tests/golden) and configs that the tests of several packed formats read."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from runner.cell.scheme import Scheme

GOLDEN = Path(__file__).parents[1] / "golden"
ROWS, COLUMNS = 64, 384
NF4, NF4_SINGLE = Scheme(64, double_quant=True), Scheme(64)
CASES = {
    "bnb-nf4-bf16": ("bnb-nf4", NF4),
    "bnb-nf4-fp16": ("bnb-nf4", NF4),
    "bnb-nf4-single": ("bnb-nf4", NF4_SINGLE),
    "gptq-sym": ("gptq", Scheme(128, sym=True)),
    "gptq-asym": ("gptq", Scheme(128)),
    "gptq-desc-act": ("gptq", Scheme(128, sym=True, desc_act=True)),
    "awq": ("awq", Scheme(128)),
}
SEEN = ("original", "dequantised", "by_kernel", "by_exllamav2", "by_triton")
INT4_CONFIG: dict[str, object] = {"bits": 4, "group_size": 128}
NF4_CONFIG: dict[str, object] = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}


def golden_tensors(name: str) -> dict[str, torch.Tensor]:
    """All tensors of a golden file: what a package packed, and those in `SEEN` that it packed or made of it."""
    return load_file(GOLDEN / f"{name}.safetensors")


def golden_packed(name: str) -> dict[str, torch.Tensor]:
    """The packed ones alone, as a checkpoint stores them."""
    return {part: tensor for part, tensor in golden_tensors(name).items() if part not in SEEN}


def same_bits(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return ours.dtype == theirs.dtype and torch.equal(ours, theirs)
