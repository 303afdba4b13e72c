"""The transformers model of a cell, built on the device: synthetic weights of its shape, or a checkpoint's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.initialization import no_init_weights

from runner.errors import BadCheckpoint
from runner.shape import ModelShape
from runner.worker import synthetic

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
SYNTHETIC_SEED = 0


def config_of(shape: ModelShape) -> Any:
    """The transformers configuration of a shape."""
    return AutoConfig.for_model(
        shape.model_type,
        num_hidden_layers=shape.layers,
        hidden_size=shape.hidden,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        intermediate_size=shape.intermediate,
        vocab_size=shape.vocab,
        tie_word_embeddings=shape.tied_embedding,
        rms_norm_eps=shape.rms_norm_eps,
        max_position_embeddings=shape.max_positions,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta, **(shape.rope_scaling or {})},
        sliding_window=None,
        use_sliding_window=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )


def build_synthetic(shape: ModelShape, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """A model of this shape on the device, `synthetic-v1` weights in it."""
    with device, no_init_weights():
        model = AutoModelForCausalLM.from_config(config_of(shape), dtype=dtype, attn_implementation="sdpa")
    model.tie_weights()
    synthetic.fill(model, shape.head_dim, SYNTHETIC_SEED)
    return _ready(model)


def load_checkpoint(folder: Path, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """The checkpoint in `folder`, from safetensors alone; no code of the checkpoint is ever run.

    Raises BadCheckpoint when a tensor of the model is missing or of another shape: transformers would make it up, and
    a gate that compares with the same weights could not see it.
    """
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            device_map={"": device},
            attn_implementation="sdpa",
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise BadCheckpoint(f"the checkpoint cannot be loaded: {str(error).splitlines()[0]}") from error
    model, report = loaded
    wrong = {kind: sorted(map(str, report[kind])) for kind in ("missing_keys", "mismatched_keys") if report[kind]}
    if wrong:
        listed = "; ".join(f"{kind.replace('_', ' ')}: {', '.join(names[:3])}" for kind, names in wrong.items())
        raise BadCheckpoint(f"the checkpoint does not fill the model ({listed}): take a complete one of this shape")
    return _ready(model)


def _ready(model: Any) -> nn.Module:
    ready: nn.Module = model.eval().requires_grad_(False)
    return ready


def weight_bytes(model: nn.Module) -> int:
    """Bytes of all parameters on the device, a tied one counted once."""
    return sum(parameter.nbytes for parameter in model.parameters())
