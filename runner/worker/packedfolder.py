"""A model with packed weights as a checkpoint folder, for engines that read nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from runner import registry
from runner.checkpoints import checkpoint, weightfiles
from runner.shape import ModelShape
from runner.worker import plainlinear

FILE = "model.safetensors"


def write(model: Any, shape: ModelShape, folder: Path) -> None:
    """The model's own weights: config.json and one file of safetensors, as the quantising packages lay them out."""
    plains = plainlinear.plain_linears(model)
    tensors = {name: parameter.data for name, parameter in model.named_parameters()}
    for name, plain in plains.items():
        stored = plain.format.to_stored(plain.tensors, plain.scheme, plain.columns)
        tensors |= {f"{name}.{part}": tensor for part, tensor in stored.items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / FILE, {"format": "pt"})
    _write_config(next(iter(plains.values())), shape, folder)


def link(model: Any, shape: ModelShape, checkpoint_folder: Path, folder: Path) -> None:
    """The weights of the checkpoint that the model was loaded from, beside a config.json that every reader knows: what
    transformers 5 writes, older engines read past, and take another rotary embedding than the model's."""
    for file in weightfiles.weight_files(checkpoint_folder, "the checkpoint"):
        (folder / file.name).symlink_to(file.resolve())
    _write_config(next(iter(plainlinear.plain_linears(model).values())), shape, folder)


def _write_config(quantised: plainlinear.PlainLinear, shape: ModelShape, folder: Path) -> None:
    quantisation = registry.packed_format(quantised.quant).config_of(quantised.scheme)
    config = {**checkpoint.config_of(shape), "quantization_config": quantisation}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def release(model: Any) -> None:
    """Give the model's memory back; its modules stay as shells."""
    for plain in plainlinear.plain_linears(model).values():
        plain.tensors.clear()
    model.to("meta")
    torch.cuda.empty_cache()
