"""The transformers model of a cell, built on the device: synthetic weights of its shape, or a checkpoint's.

The linear layers of a quantised one are first plain ones (`plainlinear`), which reference and trusted eager read, and
then the kernel's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from runner import registry
from runner.cell.scheme import Scheme
from runner.cell.shape import ModelShape
from runner.checkpoints import weightfiles
from runner.checkpoints.tensornames import EMBEDDING, HEAD
from runner.errors import BadCheckpoint
from runner.worker import plainlinear, synthetic, transformers4

if transformers4.IS_HERE:
    from runner.worker.transformers4 import no_init_weights
else:
    from transformers.initialization import no_init_weights

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
DTYPE_ARGUMENT = "torch_dtype" if transformers4.IS_HERE else "dtype"
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
        **_rope_arguments(shape),
        sliding_window=None,
        use_sliding_window=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )


def _rope_arguments(shape: ModelShape) -> dict[str, Any]:
    if transformers4.IS_HERE:
        return transformers4.rope_arguments(shape)
    return {"rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta, **(shape.rope_scaling or {})}}


@dataclass(frozen=True)
class Build:
    """What to build: `scheme` is None for weights that are all of `dtype`."""

    shape: ModelShape
    quant: str
    scheme: Scheme | None
    dtype: torch.dtype
    device: torch.device


def build_synthetic(build: Build) -> nn.Module:
    """A model on the device, `synthetic-v1` weights in it; those of a quantised one are the same, rounded layer by
    layer to its format: never more than one layer is there unpacked."""
    model = _empty(build)
    generator = torch.Generator(build.device).manual_seed(SYNTHETIC_SEED)
    for name, block in _blocks(model):
        linears = _packed_in(block, build)
        for linear in linears.values():
            linear.to_empty(device=build.device, recurse=False)
        parameters = {f"{name}.{own}": parameter for own, parameter in block.named_parameters()}
        synthetic.fill(parameters, build.shape.head_dim, generator)
        for own, linear in linears.items():
            block.set_submodule(own, plainlinear.of(linear, build.quant, _scheme(build)))
    return _ready(model)


def load_checkpoint(folder: Path, build: Build) -> nn.Module:
    """A model on the device, the checkpoint's weights in it; what is not packed is converted to `dtype`.

    Only safetensors are read, and of the folder's config.json nothing: the parent has compared it with the shape. A
    tied head that is stored with other values than the embedding's makes the model untied, as in transformers 5.
    Raises BadCheckpoint when the files are not exactly the shape's tensors or cannot be read.
    """
    try:
        wanted = weightfiles.expected(build.shape, build.quant, build.scheme)
        tensors = weightfiles.check(folder, "the checkpoint", wanted)
        if _has_other_head(tensors, build):
            build = replace(build, shape=replace(build.shape, tied_embedding=False))
        model = _empty(build)
        for name, block in _blocks(model):
            for own, linear in _packed_in(block, build).items():
                block.set_submodule(own, _read_packed(f"{name}.{own}", linear, tensors, build))
        _copy_weights(model, tensors)
        _check_zero(weightfiles.zero_biases(tensors, wanted), tensors)
    except torch.OutOfMemoryError:
        raise
    except READING_ERRORS as error:
        # an operating system's error names the file by its whole path, which is nobody's business
        text = str(error).replace(f"{folder}/", "")
        raise BadCheckpoint(f"the checkpoint cannot be loaded: {text}: fetch it again") from error
    return _ready(model)


def shape_of(model: Any, shape: ModelShape) -> ModelShape:
    """The shape of a loaded model: tied where its head is its embedding."""
    return replace(shape, tied_embedding=model.lm_head.weight is model.model.embed_tokens.weight)


def _has_other_head(tensors: Mapping[str, weightfiles.Tensor], build: Build) -> bool:
    """Is the head of a tied model stored, and different from the embedding in the cell's dtype?"""
    if not build.shape.tied_embedding or HEAD not in tensors:
        return False
    embedding, head = (_read(tensors[name], name).to(build.dtype) for name in (EMBEDDING, HEAD))
    return not torch.equal(embedding, head)


def _empty(build: Build) -> Any:
    """The model's modules and its memory on the device, its weights still to be written; linear layers that will be
    packed have no memory."""
    with torch.device("meta"), no_init_weights():
        model = AutoModelForCausalLM.from_config(
            config_of(build.shape), attn_implementation="sdpa", **{DTYPE_ARGUMENT: build.dtype}
        )
    packed = {linear for _, block in _blocks(model) for linear in _packed_in(block, build).values()}
    for module in model.modules():
        if module not in packed:
            module.to_empty(device=build.device, recurse=False)
    with build.device:  # of its values none is a weight: it computes them
        model.model.rotary_emb = type(model.model.rotary_emb)(model.config)
    model.tie_weights()
    return model


def _blocks(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """Name and module of what a model is made of, in the order of its parameters; a tied head is the embedding."""
    yield "model.embed_tokens", model.model.embed_tokens
    for index, layer in enumerate(model.model.layers):
        yield f"model.layers.{index}", layer
    yield "model.norm", model.model.norm
    if not model.config.tie_word_embeddings:
        yield "lm_head", model.lm_head


def _packed_in(block: nn.Module, build: Build) -> dict[str, nn.Linear]:
    """The linear layers of a block that will be packed, by name: all of a decoder layer's, none of a plain model's."""
    if build.scheme is None or isinstance(block, nn.Linear):
        return {}
    return {name: module for name, module in block.named_modules() if isinstance(module, nn.Linear)}


def _scheme(build: Build) -> Scheme:
    assert build.scheme is not None
    return build.scheme


def _read_packed(
    name: str, linear: nn.Linear, tensors: Mapping[str, weightfiles.Tensor], build: Build
) -> plainlinear.PlainLinear:
    """A linear layer of the checkpoint; its bias is read with all others."""
    scheme, size = _scheme(build), (linear.out_features, linear.in_features)
    chosen = registry.packed_format(build.quant)
    stored = {part: _read(tensors[f"{name}.{part}"], f"{name}.{part}") for part in chosen.stored(*size, scheme)}
    try:
        found = chosen.from_stored({part: tensor.to(build.device) for part, tensor in stored.items()}, scheme)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{name}: {error}") from error
    bias = linear.bias
    if bias is not None:
        bias = nn.Parameter(torch.empty_like(bias, device=build.device), requires_grad=False)
    return plainlinear.PlainLinear(build.quant, scheme, size, found, bias, build.dtype)


def _read(tensor: weightfiles.Tensor, name: str) -> torch.Tensor:
    # opened anew for each: as long as a file is open, all of it that was read counts as this process's memory
    with safe_open(tensor.file, framework="pt") as file:
        found: torch.Tensor = file.get_tensor(tensor.name or name)
    return found


def read_stored(folder: Path, build: Build, name: str) -> torch.Tensor:
    """A tensor of a checkpoint that was loaded, as it is stored there."""
    wanted = weightfiles.expected(build.shape, build.quant, build.scheme)
    return _read(weightfiles.check(folder, "the checkpoint", wanted)[name], name)


def _check_zero(names: Iterable[str], tensors: Mapping[str, weightfiles.Tensor]) -> None:
    for name in names:
        if _read(tensors[name], name).any():
            raise BadCheckpoint(f"{name} is not zero, and the model has no such bias: take a checkpoint of this model")


@torch.no_grad()
def _copy_weights(model: nn.Module, tensors: Mapping[str, weightfiles.Tensor]) -> None:
    """Fill each parameter from its file: the device never holds a weight twice."""
    for name, parameter in model.named_parameters():
        parameter.copy_(_read(tensors[name], name))


def use_kernel(model: Any, kernel: str) -> None:
    """Replace the linear layers of the decoder, one after the other, by the kernel's own.

    Nothing is done where torch's own layers multiply unquantised weights.
    """
    plains = plainlinear.plain_linears(model)
    if plains:
        made = registry.packed_kernel(kernel).linears(list(plains.values()))
        for name, linear in zip(plains, made, strict=True):
            _replace(model, name, linear)
            plains[name].tensors.clear()  # what the kernel's layer does not hold is free now
    elif registry.makes_layers(kernel):
        linears = _unquantised_linears(model)
        for name, linear in zip(linears, registry.plain_kernel(kernel).linears(list(linears.values())), strict=True):
            _replace(model, name, linear)


def _replace(model: nn.Module, name: str, linear: nn.Module) -> None:
    model.set_submodule(name, linear.eval().requires_grad_(False))


def _unquantised_linears(model: Any) -> dict[str, nn.Linear]:
    """Returns every linear layer of the decoder's layers, by name."""
    named = model.model.layers.named_modules(prefix="model.layers")
    return {name: module for name, module in named if isinstance(module, nn.Linear)}


def _ready(model: Any) -> nn.Module:
    ready: nn.Module = model.eval().requires_grad_(False)
    return ready


def weight_bytes(model: nn.Module) -> int:
    """Bytes of all parameters and packed weights on the device, a tied one counted once."""
    packed = sum(plain.bytes for plain in plainlinear.plain_linears(model).values())
    return packed + sum(parameter.nbytes for parameter in model.parameters())
