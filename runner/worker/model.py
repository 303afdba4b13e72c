"""The transformers model of a cell on the device, with synthetic weights or a checkpoint's.

A quantised model first has plain linear layers (`plainlinear`) for reference and trusted eager, then the kernel's own.
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

from runner import failures, registry
from runner.cell.scheme import Scheme
from runner.cell.shape import ModelShape
from runner.checkpoints import tensorfile, weightfiles
from runner.checkpoints.tensornames import EMBEDDING, HEAD
from runner.errors import BadCheckpoint
from runner.worker import plainlinear, synthetic, torcherrors, transformers4

if transformers4.IS_INSTALLED:
    from runner.worker.transformers4 import no_init_weights
else:
    from transformers.initialization import no_init_weights

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
DTYPE_ARGUMENT = "torch_dtype" if transformers4.IS_INSTALLED else "dtype"
SYNTHETIC_SEED = 0
READING_ERRORS = (OSError, RuntimeError, ValueError, KeyError, ImportError, SafetensorError)


def config_of(shape: ModelShape) -> Any:
    """Returns the transformers configuration of a shape."""
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
    if transformers4.IS_INSTALLED:
        return transformers4.rope_arguments(shape)
    return {"rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta, **(shape.rope_scaling or {})}}


@dataclass(frozen=True)
class Build:
    """Description of a model to build. `scheme` is None if all weights have `dtype`."""

    shape: ModelShape
    quant: str
    scheme: Scheme | None
    dtype: torch.dtype
    device: torch.device


def build_synthetic(build: Build) -> nn.Module:
    """Returns a model on the device with `synthetic-v1` weights.

    A quantised model has the same weights, rounded to its format layer by layer: at most one layer is unpacked at a
    time.
    """
    model = _empty(build)
    generator = torch.Generator(build.device).manual_seed(SYNTHETIC_SEED)
    for name, block in _blocks(model):
        linears = _packed_in(block, build)
        for linear in linears.values():
            linear.to_empty(device=build.device, recurse=False)
        parameters = {f"{name}.{part}": parameter for part, parameter in block.named_parameters()}
        synthetic.fill(parameters, build.shape.head_dim, generator)
        for part, linear in linears.items():
            block.set_submodule(part, plainlinear.quantised(linear, build.quant, _scheme(build)))
    return _ready(model)


def load_checkpoint(folder: Path, build: Build) -> nn.Module:
    """Returns a model on the device with the checkpoint's weights; unpacked ones are converted to `dtype`.

    It reads only safetensors: the parent has compared config.json with the shape. A tied head that is stored with
    values other than the embedding's makes the model untied, as in transformers 5. Raises BadCheckpoint if the files do
    not have exactly the shape's tensors or cannot be read.
    """
    try:
        expected = weightfiles.expected(build.shape, build.quant, build.scheme)
        tensors = weightfiles.check(folder, "the checkpoint", expected)
        if _has_other_head(tensors, build):
            build = replace(build, shape=replace(build.shape, tied_embedding=False))
        model = _empty(build)
        for name, block in _blocks(model):
            for part, linear in _packed_in(block, build).items():
                block.set_submodule(part, _read_packed(f"{name}.{part}", linear, tensors, build))
        _copy_weights(model, tensors)
        _check_zero(weightfiles.zero_biases(tensors, expected), tensors)
    except READING_ERRORS as error:
        if torcherrors.is_out_of_memory(error):
            raise
        # an OSError names the file by its full path, which is private
        text = str(error).replace(f"{folder}/", "")
        advice = failures.advice(error, "fetch the folder again, it may be damaged")
        raise BadCheckpoint(f"the checkpoint cannot be loaded ({type(error).__name__}: {text}): {advice}") from error
    return _ready(model)


def shape_of(model: Any, shape: ModelShape) -> ModelShape:
    """Returns the shape of a loaded model: tied if its head is its embedding."""
    return replace(shape, tied_embedding=model.lm_head.weight is model.model.embed_tokens.weight)


def _has_other_head(tensors: Mapping[str, tensorfile.Tensor], build: Build) -> bool:
    """Returns whether a tied model's head is stored and differs from the embedding in the cell's dtype."""
    if not build.shape.tied_embedding or HEAD not in tensors:
        return False
    embedding, head = (_read(tensors[name], name).to(build.dtype) for name in (EMBEDDING, HEAD))
    return not torch.equal(embedding, head)


def _empty(build: Build) -> Any:
    """Returns the model with uninitialised memory on the device. Linear layers that will be packed have none."""
    with torch.device("meta"), no_init_weights():
        model = AutoModelForCausalLM.from_config(
            config_of(build.shape), attn_implementation="sdpa", **{DTYPE_ARGUMENT: build.dtype}
        )
    packed = {linear for _, block in _blocks(model) for linear in _packed_in(block, build).values()}
    for module in model.modules():
        if module not in packed:
            module.to_empty(device=build.device, recurse=False)
    with build.device:  # it computes its values; none is a weight
        model.model.rotary_emb = type(model.model.rotary_emb)(model.config)
    model.tie_weights()
    return model


def _blocks(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """Yields name and module of each block of a model, in the order of its parameters. A tied head is not yielded."""
    yield "model.embed_tokens", model.model.embed_tokens
    for index, layer in enumerate(model.model.layers):
        yield f"model.layers.{index}", layer
    yield "model.norm", model.model.norm
    if not model.config.tie_word_embeddings:
        yield "lm_head", model.lm_head


def _packed_in(block: nn.Module, build: Build) -> dict[str, nn.Linear]:
    """Returns the linear layers of a block that will be packed, by name: all of a decoder layer's, or none."""
    if build.scheme is None or isinstance(block, nn.Linear):
        return {}
    return {name: module for name, module in block.named_modules() if isinstance(module, nn.Linear)}


def _scheme(build: Build) -> Scheme:
    assert build.scheme is not None
    return build.scheme


def _read_packed(
    name: str, linear: nn.Linear, tensors: Mapping[str, tensorfile.Tensor], build: Build
) -> plainlinear.PlainLinear:
    """Returns a packed linear layer of the checkpoint. Its bias is still uninitialised."""
    scheme, size = _scheme(build), (linear.out_features, linear.in_features)
    weight_format = registry.packed_format(build.quant)
    stored = {part: _read(tensors[f"{name}.{part}"], f"{name}.{part}") for part in weight_format.stored(*size, scheme)}
    try:
        packed = weight_format.from_stored({part: tensor.to(build.device) for part, tensor in stored.items()}, scheme)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{name}: {error}") from error
    bias = linear.bias
    if bias is not None:
        bias = nn.Parameter(torch.empty_like(bias, device=build.device), requires_grad=False)
    return plainlinear.PlainLinear(build.quant, scheme, size, packed, bias, build.dtype)


def _read(tensor: tensorfile.Tensor, name: str) -> torch.Tensor:
    # Opened for each tensor: while a file is open, all pages read from it count as memory of this process.
    with safe_open(tensor.file, framework="pt") as file:
        stored: torch.Tensor = file.get_tensor(tensor.name or name)
    return stored


def read_stored(folder: Path, build: Build, name: str) -> torch.Tensor:
    """Returns a tensor as a loaded checkpoint stores it."""
    expected = weightfiles.expected(build.shape, build.quant, build.scheme)
    return _read(weightfiles.check(folder, "the checkpoint", expected)[name], name)


def _check_zero(names: Iterable[str], tensors: Mapping[str, tensorfile.Tensor]) -> None:
    for name in names:
        if _read(tensors[name], name).any():
            raise BadCheckpoint(f"{name} is not zero, and the model has no such bias: take a checkpoint of this model")


@torch.no_grad()
def _copy_weights(model: nn.Module, tensors: Mapping[str, tensorfile.Tensor]) -> None:
    """Copies each parameter from its file. The device never stores a weight twice."""
    for name, parameter in model.named_parameters():
        parameter.copy_(_read(tensors[name], name))


def use_kernel(model: Any, kernel: str) -> None:
    """Replaces the decoder's linear layers, one after the other, by the kernel's own.

    A kernel without its own layers leaves torch's.
    """
    plains = plainlinear.plain_linears(model)
    if plains:
        replacements = registry.packed_kernel(kernel).linears(list(plains.values()))
        for name, linear in zip(plains, replacements, strict=True):
            _replace(model, name, linear)
            plains[name].tensors.clear()  # frees the tensors that the kernel's layer does not use
    elif registry.makes_layers(kernel):
        linears = _unquantised_linears(model)
        for name, linear in zip(linears, registry.plain_kernel(kernel).linears(list(linears.values())), strict=True):
            _replace(model, name, linear)


def _replace(model: nn.Module, name: str, linear: nn.Module) -> None:
    model.set_submodule(name, linear.eval().requires_grad_(False))


def _unquantised_linears(model: Any) -> dict[str, nn.Linear]:
    """Returns all linear layers of the decoder, by name."""
    named = model.model.layers.named_modules(prefix="model.layers")
    return {name: module for name, module in named if isinstance(module, nn.Linear)}


def _ready(model: Any) -> nn.Module:
    ready: nn.Module = model.eval().requires_grad_(False)
    return ready


def weight_bytes(model: nn.Module) -> int:
    """Returns the bytes of all parameters and packed weights on the device; a tied one counts once."""
    packed = sum(plain.bytes for plain in plainlinear.plain_linears(model).values())
    return packed + sum(parameter.nbytes for parameter in model.parameters())
