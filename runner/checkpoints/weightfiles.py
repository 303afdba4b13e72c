"""The safetensors files of a checkpoint: found, their headers read, and compared with the tensors of a shape.

A header names every tensor with its dtype, shape and place, so all that can be wrong with a file but its values is
known in milliseconds, without torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import registry
from runner.cell.scheme import DTYPE_BYTES, Part, Scheme
from runner.cell.shape import ModelShape
from runner.checkpoints import impostors, instead, quantisation, tensornames
from runner.checkpoints.quantisation import NOWHERE
from runner.checkpoints.tensornames import EMBEDDING, HEAD
from runner.errors import BadCheckpoint
from runner.files import jsontext, plainfile

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
SUFFIX = ".safetensors"
OLD_NAME = re.compile(r"gptq|awq|\d-?bit", re.IGNORECASE)
SHARD = re.compile(r"-\d{5}-of-(?P<total>\d{5})(?=\.safetensors$)")
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
HEADER_LIMIT_BYTES = 100_000_000  # the safetensors library's own limit
FLOATS = ("BF16", "F16", "F32", "F64")
DTYPES = {"BF16": "bf16", "F16": "fp16", "F32": "fp32", "F64": "fp64"}
NO_CODES = (*FLOATS, "BOOL")
ANY_FLOAT = "float"
LEFT_OUT = (
    "transformers reads over that and computes without it: remove it from the file if that is the model to be "
    "measured, or take the checkpoint of another one"
)
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
OF_A_LINEAR = re.compile(rf"\.({'|'.join(map(re.escape, LINEARS))})\.")
NORMS = ("input_layernorm", "post_attention_layernorm")


@dataclass(frozen=True)
class Tensor:
    """One tensor of a checkpoint: the file it lies in, its safetensors dtype and its shape; `name` is what the file
    calls it, None where that is what the model calls it."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    name: str | None = None


def weight_files(folder: Path, name: str) -> tuple[Path, ...]:
    """The safetensors files of the checkpoint, by name; errors call it `name`. Raises BadCheckpoint where one is
    missing."""
    names = _shard_names(folder, name)
    missing = [file for file in names if not (folder / file).is_file()]
    if missing:
        _check_links(folder, name, missing)
        raise BadCheckpoint(
            f"{name}: {len(missing)} of {len(names)} shards missing ({listed(missing)}): fetch the folder again"
            f"{impostors.unfinished(folder)}"
        )
    return tuple(folder / file for file in names)


def _check_links(folder: Path, name: str, files: Iterable[str]) -> None:
    """Raises BadCheckpoint for a link without a file behind it."""
    for file in files:
        if lost := impostors.lost(folder / file):
            raise BadCheckpoint(f"{name}: {lost}")


def read_header(file: Path) -> bytes:
    """The JSON header of a safetensors file: 8 bytes of little-endian length, then as many of JSON.

    Raises BadCheckpoint when the file is too short to hold it.
    """
    size = file.stat().st_size
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > min(HEADER_LIMIT_BYTES, size - 8):
            raise BadCheckpoint(
                impostors.told(file) or f"{file.name} is truncated or not safetensors ({size} bytes): fetch it again"
            )
        return opened.read(length)


def tensors(files: Iterable[Path]) -> dict[str, Tensor]:
    """Every tensor of the files by name. Raises BadCheckpoint when a file is damaged, truncated or longer than its
    tensors, or when two files hold the same one."""
    found: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in _tensors_of(file).items():
            if name in found and not tensornames.BUFFERS.search(name):
                raise BadCheckpoint(f"tensor {name} lies in {found[name].file.name} and in {file.name}: remove one")
            found[name] = tensor
    return found


def expected(shape: ModelShape, quant: str, scheme: Scheme | None) -> dict[str, Part]:
    """Every tensor that a checkpoint of this shape holds, a tied head being the embedding itself; the dtype is
    packed tensors' own, and ANY_FLOAT for all others."""
    found = {EMBEDDING: Part(ANY_FLOAT, (shape.vocab, shape.hidden))}
    for layer in range(shape.layers):
        found |= {f"model.layers.{layer}.{name}": part for name, part in _layer(shape, quant, scheme).items()}
    found["model.norm.weight"] = Part(ANY_FLOAT, (shape.hidden,))
    if not shape.tied_embedding:
        found[HEAD] = Part(ANY_FLOAT, (shape.vocab, shape.hidden))
    return found


def _layer(shape: ModelShape, quant: str, scheme: Scheme | None) -> dict[str, Part]:
    linears = dict(zip(LINEARS, shape.linear_shapes, strict=True))
    found: dict[str, Part] = {}
    for name, size in linears.items():
        parts = {"weight": Part(ANY_FLOAT, size)}
        if scheme is not None:
            parts = registry.packed_format(quant).stored(*size, scheme)
        found |= {f"{name}.{part}": tensor for part, tensor in parts.items()}
    found |= {f"{name}.bias": Part(ANY_FLOAT, linears[name][:1]) for name in BIASED if shape.qkv_bias}
    return found | {f"{name}.weight": Part(ANY_FLOAT, (shape.hidden,)) for name in NORMS}


def zero_biases(found: Iterable[str], wanted: Mapping[str, Part]) -> list[str]:
    """Biases that AutoGPTQ writes for every layer, though the model has none there: they must turn out to be zeros."""
    layers = {name.rpartition(".")[0] for name in wanted if name.endswith(".qweight")}
    return [name for name in found if name.endswith(".bias") and name not in wanted and name[: -len(".bias")] in layers]


def check(folder: Path, name: str, wanted: Mapping[str, Part]) -> dict[str, Tensor]:
    """The tensors of the checkpoint under the model's names, when they are exactly those `expected`; a tied head may
    be stored, too.

    Raises BadCheckpoint, which calls the checkpoint `name` and names the tensors that are wrong.
    """
    own = stored(folder, name)
    try:
        found = tensornames.of_the_model(own, wanted)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{name}: {error}") from error
    if all(part.dtype == ANY_FLOAT for part in wanted.values()) and (packed := packed_tensors(own)):
        raise untold(name, packed)
    right = _with_head(wanted, found)
    problems = list(_problems(found, right))
    if extra := _extra(found, right):
        problems.append(f"{_tensors(extra)} more than the model has ({listed(extra)})")
    if problems:
        remedy = LEFT_OUT if len(problems) == 1 and extra else "take a complete checkpoint of this model in this quant"
        raise BadCheckpoint(f"{name}: {'; '.join(problems)}: {remedy}")
    return found


def packed_tensors(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that only packed weights have: by their names, or in a linear layer and of no float's dtype."""
    return {name: tensor for name, tensor in stored.items() if _is_packed(name, tensor)}


def _is_packed(name: str, tensor: Tensor) -> bool:
    holds_codes = tensor.dtype not in NO_CODES and not tensornames.NO_WEIGHTS.search(name)
    return bool(tensornames.PACKED.search(name) or (OF_A_LINEAR.search(name) and holds_codes))


def stored(folder: Path, name: str) -> dict[str, Tensor]:
    """The tensors of the checkpoint under the names that its files give them. Raises BadCheckpoint."""
    files = weight_files(folder, name)
    try:
        return tensors(files)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{name}: {error}") from error


def untold(name: str, packed: Mapping[str, Tensor]) -> BadCheckpoint:
    """The error for packed weights of which nothing says how they are packed."""
    found = listed([f"{own} in {tensor.dtype}" for own, tensor in packed.items()])
    return BadCheckpoint(
        f"{name}: its weights are packed ({found}), but nothing says how ({NOWHERE}): fetch the whole "
        "folder, or write what its quantiser was told into config.json"
    )


def _with_head(wanted: Mapping[str, Part], found: Mapping[str, Tensor]) -> Mapping[str, Part]:
    """A tied model's head, where it is stored, is of the embedding's shape."""
    return {**wanted, HEAD: wanted[EMBEDDING]} if HEAD in found and tensornames.is_tied(wanted) else wanted


def _problems(found: Mapping[str, Tensor], expected: Mapping[str, Part]) -> Iterator[str]:
    missing = [name for name in expected if name not in found]
    if missing:
        yield f"{_tensors(missing)} missing ({listed(missing)})"
    common = [name for name in found if name in expected]
    other = [name for name in common if not _same_shape(found[name].shape, expected[name].shape)]
    if other:
        name = other[0]
        sizes = f"{name} is {[*found[name].shape]}, expected {[*expected[name].shape]}"
        yield f"{_tensors(other)} of another shape ({sizes})"
    strange = [name for name in common if found[name].dtype not in _dtypes(expected[name])]
    if strange:
        name = strange[0]
        yield f"{_tensors(strange)} not in {', '.join(_dtypes(expected[name]))} ({name} is {found[name].dtype})"


def _extra(found: Mapping[str, Tensor], expected: Mapping[str, Part]) -> list[str]:
    allowed = {*expected, *zero_biases(found, expected)}
    return [name for name in found if name not in allowed]


def _same_shape(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(found) == len(wanted) and all(size in (-1, own) for own, size in zip(found, wanted, strict=True))


def _dtypes(part: Part) -> tuple[str, ...]:
    return FLOATS if part.dtype == ANY_FLOAT else (part.dtype,)


def _tensors(names: list[str]) -> str:
    return f"{len(names)} tensor{'s' if len(names) > 1 else ''}"


def listed(names: list[str]) -> str:
    """The first few names, for a line."""
    return ", ".join(names[:NAMED_IN_A_LINE]) + (", …" if len(names) > NAMED_IN_A_LINE else "")


def _tensors_of(file: Path) -> dict[str, Tensor]:
    header = read_header(file)
    found, ends = {}, [0]
    try:
        entries = {name: entry for name, entry in jsontext.loads(header).items() if name != "__metadata__"}
        for name, entry in entries.items():
            found[name] = Tensor(file, str(entry["dtype"]), _whole_numbers(entry, "shape"))
            begin, end = _whole_numbers(entry, "data_offsets")
            ends.append(end)
            _check_span(name, found[name], end - begin)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        damaged = f"{file.name}: its header is damaged ({error}): fetch it again"
        raise BadCheckpoint(impostors.told(file) or damaged) from error
    size, expected = file.stat().st_size, 8 + len(header) + max(ends)
    if size != expected:
        what = "truncated" if size < expected else "longer than its tensors"
        raise BadCheckpoint(f"{file.name} is {what}: {size} bytes, its header says {expected}: fetch it again")
    return found


def _whole_numbers(entry: Mapping[str, Any], field: str) -> tuple[int, ...]:
    """A list of a header's. Raises ValueError where it holds anything but sizes: 1e999 is one to JSON."""
    found = tuple(entry[field])
    if not all(type(number) is int and number >= 0 for number in found):
        raise ValueError(f"{field} is no list of sizes")
    return found


def _check_span(name: str, tensor: Tensor, span: int) -> None:
    needed = math.prod(tensor.shape) * DTYPE_BYTES.get(tensor.dtype, 0)
    if needed and span != needed:
        raise ValueError(f"{name} has {span} bytes for {[*tensor.shape]} of {tensor.dtype}")


def _shard_names(folder: Path, name: str) -> tuple[str, ...]:
    """As transformers chooses: one whole file before shards."""
    if (folder / SINGLE_NAME).is_file():
        return (SINGLE_NAME,)
    index = folder / INDEX_NAME
    if index.is_file():
        return _indexed_names(index, name)
    if old := _old_names(folder, name):
        return old
    _check_links(folder, name, (SINGLE_NAME, INDEX_NAME))
    pickled = next((file.name for pattern in PICKLED for file in sorted(folder.glob(pattern))), None)
    if pickled:
        raise BadCheckpoint(f"{name}: only {pickled}: pickled weights are never loaded: convert to safetensors")
    raise BadCheckpoint(
        f"{name}: neither {SINGLE_NAME} nor {INDEX_NAME} there: {instead.remedy(folder)}{impostors.unfinished(folder)}"
    )


def _old_names(folder: Path, name: str) -> tuple[str, ...]:
    """Files named after the quantiser and its settings, as AutoGPTQ and others wrote them, or as quantize_config.json
    calls them; empty where none is there. Raises BadCheckpoint where there are several sets of them."""
    files, base = sorted(folder.glob("[!.]*.safetensors")), quantisation.base_name(folder)
    found = [file for file in files if _stem(file.name) == base or OLD_NAME.search(file.name)]
    sets = {SHARD.sub("", file.name): SHARD.search(file.name) for file in found}
    if len(sets) > 1:
        raise BadCheckpoint(f"{name}: {len(sets)} sets of weights ({listed(sorted(sets))}): keep one of them")
    for first, shard in sets.items():
        if shard is None:
            return (first,)
        total, stem = int(shard["total"]), first.removesuffix(SUFFIX)
        return tuple(f"{stem}-{number:05d}-of-{total:05d}{SUFFIX}" for number in range(1, total + 1))
    return ()


def _is_inside(file: str) -> bool:
    path = Path(file)
    return path.name != "" and "\0" not in file and not path.is_absolute() and ".." not in path.parts


def _stem(file: str) -> str:
    return SHARD.sub("", file).removesuffix(SUFFIX)


def _indexed_names(index: Path, name: str) -> tuple[str, ...]:
    try:
        names = sorted(set(jsontext.loads(plainfile.read(index))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        damaged = f"{INDEX_NAME} is damaged ({error}): fetch it again"
        raise BadCheckpoint(f"{name}: {impostors.told(index) or damaged}") from error
    if not names or not all(isinstance(file, str) and _is_inside(file) for file in names):
        raise BadCheckpoint(
            f"{name}: {INDEX_NAME} is damaged: it must name files of its own folder and those in it: fetch it again"
        )
    return tuple(names)
