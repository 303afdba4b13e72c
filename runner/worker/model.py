"""The transformers model of a cell, built on the device: synthetic weights of its shape, or a checkpoint's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.initialization import no_init_weights

from runner.checkpoints import weightfiles
from runner.errors import BadCheckpoint
from runner.shape import ModelShape
from runner.worker import synthetic

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
SYNTHETIC_SEED = 0
READING_ERRORS = (OSError, RuntimeError, ValueError, KeyError, ImportError, SafetensorError)


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
    model = _empty(shape, dtype, device)
    synthetic.fill(model, shape.head_dim, SYNTHETIC_SEED)
    return _ready(model)


def load_checkpoint(folder: Path, shape: ModelShape, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """A model of this shape on the device, the checkpoint's weights in it, converted to `dtype`.

    Only safetensors are read, and of the folder's config.json nothing: the parent has compared it with the shape.
    Raises BadCheckpoint when the files are not exactly the shape's tensors or cannot be read.
    """
    model = _empty(shape, dtype, device)
    try:
        _copy_weights(model, weightfiles.check(folder, "the checkpoint", shape))
    except torch.OutOfMemoryError:
        raise
    except READING_ERRORS as error:
        # an operating system's error names the file by its whole path, which is nobody's business
        text = str(error).replace(f"{folder}/", "")
        raise BadCheckpoint(f"the checkpoint cannot be loaded: {text}: fetch it again") from error
    return _ready(model)


def _empty(shape: ModelShape, dtype: torch.dtype, device: torch.device) -> Any:
    """The model's modules and its memory on the device, its weights still to be written."""
    with device, no_init_weights():
        model = AutoModelForCausalLM.from_config(config_of(shape), dtype=dtype, attn_implementation="sdpa")
    model.tie_weights()
    return model


@torch.no_grad()
def _copy_weights(model: nn.Module, tensors: Mapping[str, weightfiles.Tensor]) -> None:
    """Fill each parameter from its file: the device never holds a weight twice."""
    for name, parameter in model.named_parameters():
        # opened anew for each: as long as a file is open, all of it that was read counts as this process's memory
        with safe_open(tensors[name].file, framework="pt") as file:
            parameter.copy_(file.get_tensor(name))


def _ready(model: Any) -> nn.Module:
    ready: nn.Module = model.eval().requires_grad_(False)
    return ready


def weight_bytes(model: nn.Module) -> int:
    """Bytes of all parameters on the device, a tied one counted once."""
    return sum(parameter.nbytes for parameter in model.parameters())
