"""Checkpoint folders as save_pretrained leaves them, made without torch: config.json and safetensors of zeros."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.cell import catalogue
from runner.cell.scheme import DTYPE_BYTES
from runner.checkpoints import weightfiles
from runner.errors import BadCheckpoint

SHAPE = catalogue.models()["tiny"].shape
CONFIG: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 256,
    "vocab_size": 512,
    "tie_word_embeddings": False,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "hidden_act": "silu",
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
}
WANTED = weightfiles.expected(SHAPE, "bf16", None)
Tensors = dict[str, tuple[str, tuple[int, ...]]]
"""Name → safetensors dtype and shape."""


def tensors(dtype: str = "BF16") -> Tensors:
    """What a checkpoint of the model `tiny` holds."""
    return {name: (dtype, part.shape) for name, part in WANTED.items()}


def safetensors(tensors: Tensors) -> bytes:
    """A safetensors file: 8 bytes of length, the header, the values."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, size) in tensors.items():
        begin, end = end, end + math.prod(size) * DTYPE_BYTES.get(dtype, 1)
        header[name] = {"dtype": dtype, "shape": list(size), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


def write(folder: Path, config: Mapping[str, Any] = CONFIG) -> Path:
    """A checkpoint of the model `tiny` in one file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(safetensors(tensors()))
    return folder


def shard(folder: Path) -> tuple[str, str]:
    """The same weights in two files and their index; returns the files' names."""
    (folder / "model.safetensors").unlink()
    names = ("model-1-of-2.safetensors", "model-2-of-2.safetensors")
    parts: tuple[Tensors, Tensors] = ({}, {})
    for place, (name, tensor) in enumerate(tensors().items()):
        parts[place % 2][name] = tensor
    for file, part in zip(names, parts, strict=True):
        (folder / file).write_bytes(safetensors(part))
    index = {"weight_map": {name: file for file, part in zip(names, parts, strict=True) for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return names


def refusal(folder: Path) -> str:
    """The line that refuses the weights of a folder."""
    with pytest.raises(BadCheckpoint) as caught:
        weightfiles.check(folder, "weights=x", WANTED)
    assert "\n" not in str(caught.value)
    return str(caught.value)
