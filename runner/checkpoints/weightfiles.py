"""The safetensors files of a checkpoint: found, their headers read, and compared with the tensors of a shape.

A header names every tensor with its dtype, shape and place, so all that can be wrong with a file but its values is
known in milliseconds, without torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.errors import BadCheckpoint
from runner.shape import ModelShape

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
HEADER_LIMIT_BYTES = 100_000_000  # the safetensors library's own limit
FLOAT_BYTES = {"BF16": 2, "F16": 2, "F32": 4}
DTYPES = {"BF16": "bf16", "F16": "fp16", "F32": "fp32"}
NAMED_IN_A_LINE = 3
# in the order of ModelShape.linear_shapes; the first three have a bias in the models that have one
LINEARS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
BIASED = LINEARS[:3]
NORMS = ("input_layernorm", "post_attention_layernorm")


@dataclass(frozen=True)
class Tensor:
    """One tensor of a checkpoint: the file it lies in, its safetensors dtype and its shape."""

    file: Path
    dtype: str
    shape: tuple[int, ...]


def weight_files(folder: Path, name: str) -> tuple[Path, ...]:
    """The safetensors files of the checkpoint, by name; errors call it `name`. Raises BadCheckpoint where one is
    missing."""
    names = _shard_names(folder, name)
    missing = [file for file in names if not (folder / file).is_file()]
    if missing:
        raise BadCheckpoint(
            f"{name}: {len(missing)} of {len(names)} shards missing ({listed(missing)}): fetch the folder again"
        )
    return tuple(folder / file for file in names)


def read_header(file: Path) -> bytes:
    """The JSON header of a safetensors file: 8 bytes of little-endian length, then as many of JSON.

    Raises BadCheckpoint when the file is too short to hold it.
    """
    size = file.stat().st_size
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > min(HEADER_LIMIT_BYTES, size - 8):
            raise BadCheckpoint(f"{file.name} is truncated or not safetensors ({size} bytes): fetch it again")
        return opened.read(length)


def tensors(files: Iterable[Path]) -> dict[str, Tensor]:
    """Every tensor of the files by name. Raises BadCheckpoint when a file is damaged, truncated or longer than its
    tensors, or when two files hold the same one."""
    found: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in _tensors_of(file).items():
            if name in found:
                raise BadCheckpoint(f"tensor {name} lies in {found[name].file.name} and in {file.name}: remove one")
            found[name] = tensor
    return found


def expected_tensors(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Name → shape of every tensor a checkpoint of this shape holds, a tied head being the embedding itself."""
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (shape.vocab, shape.hidden)}
    for layer in range(shape.layers):
        found |= {f"model.layers.{layer}.{name}": size for name, size in _layer_tensors(shape).items()}
    found["model.norm.weight"] = (shape.hidden,)
    if not shape.tied_embedding:
        found["lm_head.weight"] = (shape.vocab, shape.hidden)
    return found


def _layer_tensors(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    linears = dict(zip(LINEARS, shape.linear_shapes, strict=True))
    biases = {f"{name}.bias": linears[name][:1] for name in BIASED if shape.qkv_bias}
    norms = {f"{name}.weight": (shape.hidden,) for name in NORMS}
    return {**{f"{name}.weight": size for name, size in linears.items()}, **biases, **norms}


def check(folder: Path, name: str, shape: ModelShape) -> dict[str, Tensor]:
    """The tensors of the checkpoint, when they are exactly those of an unquantised model of this shape.

    Raises BadCheckpoint, which calls the checkpoint `name` and names the tensors that are wrong.
    """
    files = weight_files(folder, name)
    try:
        found = tensors(files)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{name}: {error}") from error
    problems = list(_problems(found, expected_tensors(shape)))
    if problems:
        raise BadCheckpoint(f"{name}: {'; '.join(problems)}: take a complete, unquantised checkpoint of this model")
    return found


def _problems(found: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    missing = [name for name in expected if name not in found]
    if missing:
        yield f"{_tensors(missing)} missing ({listed(missing)})"
    extra = [name for name in found if name not in expected]
    if extra:
        yield f"{_tensors(extra)} more than the model has ({listed(extra)})"
    common = [name for name in found if name in expected]
    other = [name for name in common if found[name].shape != expected[name]]
    if other:
        name = other[0]
        yield f"{_tensors(other)} of another shape ({name} is {[*found[name].shape]}, expected {[*expected[name]]})"
    packed = [name for name in common if found[name].dtype not in FLOAT_BYTES]
    if packed:
        name = packed[0]
        yield f"{_tensors(packed)} not in {', '.join(FLOAT_BYTES)} ({name} is {found[name].dtype})"


def _tensors(names: list[str]) -> str:
    return f"{len(names)} tensor{'s' if len(names) > 1 else ''}"


def listed(names: list[str]) -> str:
    """The first few names, for a line."""
    return ", ".join(names[:NAMED_IN_A_LINE]) + (", …" if len(names) > NAMED_IN_A_LINE else "")


def _tensors_of(file: Path) -> dict[str, Tensor]:
    header = read_header(file)
    found, ends = {}, [0]
    try:
        entries = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        for name, entry in entries.items():
            found[name] = Tensor(file, str(entry["dtype"]), tuple(int(size) for size in entry["shape"]))
            begin, end = (int(offset) for offset in entry["data_offsets"])
            ends.append(end)
            _check_span(name, found[name], end - begin)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadCheckpoint(f"{file.name}: its header is damaged ({error}): fetch it again") from error
    size, expected = file.stat().st_size, 8 + len(header) + max(ends)
    if size != expected:
        raise BadCheckpoint(f"{file.name} is truncated: {size} bytes, its header says {expected}: fetch it again")
    return found


def _check_span(name: str, tensor: Tensor, span: int) -> None:
    needed = math.prod(tensor.shape) * FLOAT_BYTES.get(tensor.dtype, 0)
    if needed and span != needed:
        raise ValueError(f"{name} has {span} bytes for {[*tensor.shape]} of {tensor.dtype}")


def _shard_names(folder: Path, name: str) -> tuple[str, ...]:
    """As transformers chooses: one whole file before shards."""
    if (folder / SINGLE_NAME).is_file():
        return (SINGLE_NAME,)
    index = folder / INDEX_NAME
    if index.is_file():
        return _indexed_names(index, name)
    pickled = next((file.name for pattern in PICKLED for file in sorted(folder.glob(pattern))), None)
    if pickled:
        raise BadCheckpoint(f"{name}: only {pickled}: pickled weights are never loaded: convert to safetensors")
    raise BadCheckpoint(f"{name}: neither {SINGLE_NAME} nor {INDEX_NAME} there: fetch or save the weights again")


def _indexed_names(index: Path, name: str) -> tuple[str, ...]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise BadCheckpoint(f"{name}: {INDEX_NAME} is damaged ({error}): fetch it again") from error
    if not names or not all(isinstance(file, str) and Path(file).name == file for file in names):
        raise BadCheckpoint(f"{name}: {INDEX_NAME} is damaged: it must name files of its own folder")
    return tuple(names)
