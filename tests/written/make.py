"""Write the checkpoint folders beside this file, each with the package that people quantise with:

python -m tests.written.make bnb FOLDER    # bitsandbytes 0.50.2, transformers 5.17.0, torch 2.13.0
python -m tests.written.make gptq FOLDER   # gptqmodel 7.3.6, transformers 5.17.0, torch 2.13.0
python -m tests.written.make awq FOLDER    # autoawq 0.2.9, transformers 4.51.3, torch 2.13.0

All run on a CPU, Python 3.12. Of what the packages write, config.json and model.safetensors are kept.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

WORDS = 510  # of the 512 tokens; two more are the tokenizer's own
GPTQ = {
    "gptq": {"sym": True, "desc_act": False},
    "gptq-asym": {"sym": False, "desc_act": False},
    "gptq-desc-act": {"sym": True, "desc_act": True},
}


def base(dtype: torch.dtype) -> Any:
    """The model that is quantised: the shape `tiny`, random weights."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        num_hidden_layers=2,
        hidden_size=128,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=256,
        vocab_size=512,
        tie_word_embeddings=False,
        rms_norm_eps=1e-6,
        max_position_embeddings=4096,
        use_sliding_window=False,
        sliding_window=None,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    config.rope_theta = 10000.0
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.5)
            elif parameter.ndim == 1:
                parameter.normal_(1, 0.3)
            else:
                parameter.normal_(0, 1.0 if "embed" in name else parameter.shape[1] ** -0.5)
    return model.to(dtype)


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {f"t{index}": index for index in range(WORDS)} | {"[UNK]": WORDS, "[PAD]": WORDS + 1}
    made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]", eos_token="[PAD]", bos_token="[UNK]"
    )


def samples(count: int, length: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(WORDS, (length,), generator=generator).tolist() for _ in range(count)]


def bnb(folder: Path) -> None:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    base(torch.bfloat16).save_pretrained(folder / "base")
    for name, double in (("bnb-nf4", True), ("bnb-nf4-single", False)):
        asked = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=double,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
        made = AutoModelForCausalLM.from_pretrained(
            folder / "base", quantization_config=asked, device_map="cpu", dtype=torch.bfloat16
        )
        made.save_pretrained(folder / name)


def gptq(folder: Path) -> None:
    import gptqmodel

    gptqmodel._default_cpu_workers = lambda: 4  # with two cores it asks for more workers than it allows
    base(torch.float16).save_pretrained(folder / "base")
    tokenizer().save_pretrained(folder / "base")
    calibration = [{"input_ids": one, "attention_mask": [1] * len(one)} for one in samples(32, 64)]
    for name, choices in GPTQ.items():
        asked = gptqmodel.QuantizeConfig(bits=4, group_size=128, device="cpu", **choices)
        made = gptqmodel.GPTQModel.load(str(folder / "base"), asked)
        made.quantize(calibration, batch_size=1)
        made.save(str(folder / name))


def awq(folder: Path) -> None:
    from awq import AutoAWQForCausalLM

    base(torch.float16).save_pretrained(folder / "base")
    tokenizer().save_pretrained(folder / "base")
    made = AutoAWQForCausalLM.from_pretrained(
        str(folder / "base"), device_map="cpu", torch_dtype=torch.float16, safetensors=True
    )
    made.quantize(
        tokenizer(),
        quant_config={"zero_point": True, "q_group_size": 128, "w_bit": 4, "version": "GEMM"},
        calib_data=[" ".join(f"t{word}" for word in one) for one in samples(16, 100)],
        max_calib_samples=16,
        max_calib_seq_len=128,
        n_parallel_calib_samples=None,
    )
    made.save_quantized(str(folder / "awq"))


if __name__ == "__main__":
    {"bnb": bnb, "gptq": gptq, "awq": awq}[sys.argv[1]](Path(sys.argv[2]))
