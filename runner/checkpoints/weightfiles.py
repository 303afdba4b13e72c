"""The safetensors files of a checkpoint: finding them, reading headers, and comparing tensors with a shape.

A header names every tensor with its dtype, shape and offset. So everything but the values is checked within
milliseconds, without torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from runner import registry
from runner.cell.scheme import Part, Scheme
from runner.cell.shape import ModelShape
from runner.checkpoints import impostors, instead, quantisation, tensorfile, tensornames
from runner.checkpoints.quantisation import NOWHERE
from runner.checkpoints.tensorfile import Tensor
from runner.checkpoints.tensornames import EMBEDDING, HEAD
from runner.errors import BadCheckpoint
from runner.files import jsontext, plainfile

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
SUFFIX = ".safetensors"
OLD_NAME = re.compile(r"gptq|awq|\d-?bit", re.IGNORECASE)
SHARD = re.compile(r"-\d{5}-of-(?P<total>\d{5})(?=\.safetensors$)")
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
FLOATS = ("BF16", "F16", "F32", "F64")
DTYPES = {"BF16": "bf16", "F16": "fp16", "F32": "fp32", "F64": "fp64"}
NO_CODES = (*FLOATS, "BOOL")
ANY_FLOAT = "float"
LEFT_OUT = (
    "transformers ignores these tensors: use a checkpoint without them; if the model without them is to be measured, "
    "remove them from its files"
)
NAMED_IN_A_LINE = 3
# in the order of ModelShape.linear_shapes; the first three may have a bias
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


def weight_files(folder: Path, name: str) -> tuple[Path, ...]:
    """Returns the safetensors files of the checkpoint, sorted by name.

    Raises BadCheckpoint, which calls the checkpoint `name`, if a file is missing.
    """
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
    """Raises BadCheckpoint for a broken link."""
    for file in files:
        if fault := impostors.broken_link(folder / file):
            raise BadCheckpoint(f"{name}: {fault}")


def tensors(files: Iterable[Path]) -> dict[str, Tensor]:
    """Returns the tensors of the files by name.

    Raises BadCheckpoint if a file is damaged, truncated or longer than its tensors, or if two files have the same
    tensor.
    """
    by_name: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in tensorfile.tensors_of(file).items():
            if name in by_name and not tensornames.BUFFERS.search(name):
                raise BadCheckpoint(f"tensor {name} is in {by_name[name].file.name} and in {file.name}: remove one")
            by_name[name] = tensor
    return by_name


def expected(shape: ModelShape, quant: str, scheme: Scheme | None) -> dict[str, Part]:
    """Returns the tensors of a checkpoint of this shape. A tied head is only the embedding.

    Packed tensors have their own dtype, all others have ANY_FLOAT.
    """
    parts = {EMBEDDING: Part(ANY_FLOAT, (shape.vocab, shape.hidden))}
    for layer in range(shape.layers):
        parts |= {f"model.layers.{layer}.{name}": part for name, part in _layer(shape, quant, scheme).items()}
    parts["model.norm.weight"] = Part(ANY_FLOAT, (shape.hidden,))
    if not shape.tied_embedding:
        parts[HEAD] = Part(ANY_FLOAT, (shape.vocab, shape.hidden))
    return parts


def _layer(shape: ModelShape, quant: str, scheme: Scheme | None) -> dict[str, Part]:
    linears = dict(zip(LINEARS, shape.linear_shapes, strict=True))
    tensors: dict[str, Part] = {}
    for name, size in linears.items():
        stored_parts = {"weight": Part(ANY_FLOAT, size)}
        if scheme is not None:
            stored_parts = registry.packed_format(quant).stored(*size, scheme)
        tensors |= {f"{name}.{part}": part_shape for part, part_shape in stored_parts.items()}
    tensors |= {f"{name}.bias": Part(ANY_FLOAT, linears[name][:1]) for name in BIASED if shape.qkv_bias}
    return tensors | {f"{name}.weight": Part(ANY_FLOAT, (shape.hidden,)) for name in NORMS}


def zero_biases(names: Iterable[str], expected: Mapping[str, Part]) -> list[str]:
    """Returns the biases that AutoGPTQ writes for layers without one in the model. All must be zeros."""
    layers = {name.rpartition(".")[0] for name in expected if name.endswith(".qweight")}
    extra = [name for name in names if name.endswith(".bias") and name not in expected]
    return [name for name in extra if name.removesuffix(".bias") in layers]


def check(folder: Path, name: str, expected: Mapping[str, Part]) -> dict[str, Tensor]:
    """Returns the checkpoint's tensors under the model's names. They must be those `expected`; a tied head may be
    stored, too.

    Raises BadCheckpoint, which calls the checkpoint `name` and lists the wrong tensors.
    """
    as_stored = stored(folder, name)
    try:
        named = tensornames.renamed(as_stored, expected)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{name}: {error}") from error
    if all(part.dtype == ANY_FLOAT for part in expected.values()) and (packed := packed_tensors(as_stored)):
        raise undescribed(name, packed)
    with_head = _with_head(expected, named)
    problems = list(_problems(named, with_head))
    if extra := _extra(named, with_head):
        problems.append(f"{_tensors(extra)} more than the model has ({listed(extra)})")
    if problems:
        remedy = LEFT_OUT if len(problems) == 1 and extra else "use a complete checkpoint of this model in this quant"
        raise BadCheckpoint(f"{name}: {'; '.join(problems)}: {remedy}")
    return named


def packed_tensors(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the packed tensors: those with such a name, and those of a linear layer that are not floats."""
    return {name: tensor for name, tensor in stored.items() if _is_packed(name, tensor)}


def _is_packed(name: str, tensor: Tensor) -> bool:
    holds_codes = tensor.dtype not in NO_CODES and not tensornames.NO_WEIGHTS.search(name)
    return bool(tensornames.PACKED.search(name) or (OF_A_LINEAR.search(name) and holds_codes))


def stored(folder: Path, name: str) -> dict[str, Tensor]:
    """Returns the checkpoint's tensors under the names of the files. Raises BadCheckpoint."""
    files = weight_files(folder, name)
    try:
        return tensors(files)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{name}: {error}") from error


def undescribed(name: str, packed: Mapping[str, Tensor]) -> BadCheckpoint:
    """Returns the error for packed weights without a description of the packing."""
    examples = listed([f"{tensor_name} in {tensor.dtype}" for tensor_name, tensor in packed.items()])
    return BadCheckpoint(
        f"{name}: its weights are packed ({examples}), but nothing says how ({NOWHERE}): fetch the whole "
        "folder, or write its quantiser's settings into config.json"
    )


def _with_head(expected: Mapping[str, Part], named: Mapping[str, Tensor]) -> Mapping[str, Part]:
    """Returns the expected tensors, with a tied head if it is stored. It has the embedding's shape."""
    return {**expected, HEAD: expected[EMBEDDING]} if HEAD in named and tensornames.is_tied(expected) else expected


def _problems(tensors: Mapping[str, Tensor], expected: Mapping[str, Part]) -> Iterator[str]:
    missing = [name for name in expected if name not in tensors]
    if missing:
        yield f"{_tensors(missing)} missing ({listed(missing)})"
    common = [name for name in tensors if name in expected]
    misshapen = [name for name in common if not _same_shape(tensors[name].shape, expected[name].shape)]
    if misshapen:
        name = misshapen[0]
        sizes = f"{name} is {[*tensors[name].shape]}, expected {[*expected[name].shape]}"
        yield f"{_tensors(misshapen)} of another shape ({sizes})"
    wrong_dtype = [name for name in common if tensors[name].dtype not in _dtypes(expected[name])]
    if wrong_dtype:
        name = wrong_dtype[0]
        yield f"{_tensors(wrong_dtype)} not in {', '.join(_dtypes(expected[name]))} ({name} is {tensors[name].dtype})"


def _extra(tensors: Mapping[str, Tensor], expected: Mapping[str, Part]) -> list[str]:
    allowed = {*expected, *zero_biases(tensors, expected)}
    return [name for name in tensors if name not in allowed]


def _same_shape(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    pairs = zip(shape, expected, strict=True)
    return len(shape) == len(expected) and all(size in (-1, length) for length, size in pairs)


def _dtypes(part: Part) -> tuple[str, ...]:
    return FLOATS if part.dtype == ANY_FLOAT else (part.dtype,)


def _tensors(names: list[str]) -> str:
    return f"{len(names)} tensor{'s' if len(names) > 1 else ''}"


def listed(names: list[str]) -> str:
    """Returns the first names, for one line."""
    return ", ".join(names[:NAMED_IN_A_LINE]) + (", …" if len(names) > NAMED_IN_A_LINE else "")


def _shard_names(folder: Path, name: str) -> tuple[str, ...]:
    """Returns the files' names as transformers chooses them: a single file takes precedence over shards."""
    if (folder / SINGLE_NAME).is_file():
        return (SINGLE_NAME,)
    index = folder / INDEX_NAME
    if index.is_file():
        return _indexed_names(index, name)
    if old_names := _old_names(folder, name):
        return old_names
    _check_links(folder, name, (SINGLE_NAME, INDEX_NAME))
    pickled = next((file.name for pattern in PICKLED for file in sorted(folder.glob(pattern))), None)
    if pickled:
        raise BadCheckpoint(f"{name}: only {pickled}: pickled weights are never loaded: convert to safetensors")
    raise BadCheckpoint(
        f"{name}: neither {SINGLE_NAME} nor {INDEX_NAME} there: {instead.remedy(folder)}{impostors.unfinished(folder)}"
    )


def _old_names(folder: Path, name: str) -> tuple[str, ...]:
    """Returns files named after the quantiser and its settings, or as quantize_config.json names them.

    AutoGPTQ and others wrote such names. Returns () if there is none. Raises BadCheckpoint if there are several sets.
    """
    files, base = sorted(folder.glob("[!.]*.safetensors")), quantisation.base_name(folder)
    matching = [file for file in files if _stem(file.name) == base or OLD_NAME.search(file.name)]
    sets = {SHARD.sub("", file.name): SHARD.search(file.name) for file in matching}
    if len(sets) > 1:
        raise BadCheckpoint(
            f"{name}: {len(sets)} sets of weights ({listed(sorted(sets))}): "
            "keep one of them there, and move the others away"
        )
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
        raise BadCheckpoint(f"{name}: {impostors.description(index) or damaged}") from error
    if not names or not all(isinstance(file, str) and _is_inside(file) for file in names):
        raise BadCheckpoint(
            f"{name}: {INDEX_NAME} is damaged: it must name files of its own folder and those in it: fetch it again"
        )
    return tuple(names)
