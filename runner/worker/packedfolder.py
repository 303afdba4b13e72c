"""A model with packed weights as a checkpoint folder, for engines that read only such folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from runner import registry
from runner.cell.shape import ModelShape
from runner.checkpoints import modelconfig, weightfiles
from runner.errors import DiskFull
from runner.worker import plainlinear

FILE = "model.safetensors"
DISK_FULL = ("(os error 28)", "(os error 122)")  # ENOSPC and EDQUOT in safetensors' messages


def write(model: Any, shape: ModelShape, folder: Path) -> None:
    """Writes the model's weights: config.json and one file of safetensors, in the layout of the quantising packages.

    Raises DiskFull, if possible before anything is written.
    """
    plains = plainlinear.plain_linears(model)
    tensors = {name: parameter.data for name, parameter in model.named_parameters()}
    for name, plain in plains.items():
        stored = plain.format.to_stored(plain.tensors, plain.scheme, plain.columns)
        tensors |= {f"{name}.{part}": tensor for part, tensor in stored.items()}
    _save({name: tensor.contiguous() for name, tensor in tensors.items()}, folder)
    _write_config(next(iter(plains.values())), shape, folder)


def _save(tensors: Mapping[str, torch.Tensor], folder: Path) -> None:
    needed, disk = sum(tensor.nbytes for tensor in tensors.values()), shutil.disk_usage(folder)
    full = DiskFull(
        f"the weights, {needed / 1e9:.2f} GB, are written to a temporary folder for the engine to read, and its disk "
        f"has {disk.free / 1e9:.2f} GB free: free some, or set TMPDIR to a folder on another disk"
    )
    if disk.total and disk.free < needed:  # some file systems report 0 of 0
        raise full
    try:
        save_file(dict(tensors), folder / FILE, {"format": "pt"})
    except SafetensorError as error:
        if any(text in str(error) for text in DISK_FULL):
            raise full from error
        raise


def link(model: Any, shape: ModelShape, checkpoint_folder: Path, folder: Path) -> None:
    """Links the files of the model's checkpoint beside a config.json that every engine reads.

    Older engines ignore the rotary embedding in transformers 5's config.json and use another one. Tensors that are
    stored under other names are written anew.
    """
    files = weightfiles.weight_files(checkpoint_folder, "the checkpoint")
    linear = next(iter(plainlinear.plain_linears(model).values()))
    if weightfiles.expected(shape, linear.quant, linear.scheme).keys() <= weightfiles.tensors(files).keys():
        for file in files:
            # one flat folder, even if the index names several
            (folder / "-".join(file.relative_to(checkpoint_folder).parts)).symlink_to(file.resolve())
        _write_config(linear, shape, folder)
    else:
        write(model, shape, folder)


def _write_config(quantised: plainlinear.PlainLinear, shape: ModelShape, folder: Path) -> None:
    quantisation = registry.packed_format(quantised.quant).config_of(quantised.scheme)
    config = {**modelconfig.config_of(shape), "quantization_config": quantisation}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def release(model: Any) -> None:
    """Frees the model's memory. Its modules remain, without values."""
    for plain in plainlinear.plain_linears(model).values():
        plain.tensors.clear()
    model.to("meta")
    torch.cuda.empty_cache()
