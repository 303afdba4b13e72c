"""Checkpoints: a folder of safetensors, found on disk or on the hub, checked without loading a single weight.

Pickled weights are never opened. `weights_id` names the weights: the hub's revision, or a hash of the
safetensors headers and file sizes; never a path.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.catalogue import HubCheckpoint
from runner.cell import short_hash
from runner.errors import BadCheckpoint, DecodeFloorError, MissingPackage
from runner.shape import ModelShape

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
WANTED = ["*.safetensors", "*.json"]
# Mistral's repositories hold every weight a second time under this name, Llama's the original release
UNWANTED = ["consolidated*", "original/*"]
HEADER_LIMIT_BYTES = 100_000_000  # the safetensors library's own limit
ID_LENGTH = 16
CONFIG_FIELDS = {
    "model_type": "model_type",
    "hidden_size": "hidden",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "intermediate_size": "intermediate",
    "vocab_size": "vocab",
    "tie_word_embeddings": "tied_embedding",
    "rms_norm_eps": "rms_norm_eps",
}


@dataclass(frozen=True)
class Checkpoint:
    """Weights to load: `folder` is None while they are only known on the hub, as `hub` at `weights_id`."""

    weights_id: str
    folder: Path | None
    hub: str | None = None
    pinned: bool = True


def local(path: str, shape: ModelShape) -> Checkpoint:
    """The checkpoint in a local folder. Raises BadCheckpoint when it is missing, truncated, pickled or of
    another shape."""
    folder = Path(path).expanduser().resolve()
    _check_config(folder, path, shape)
    return Checkpoint(_headers_id(weight_files(folder)), folder)


def on_hub(entry: HubCheckpoint, shape: ModelShape) -> Checkpoint:
    """The hub's checkpoint at its pinned revision, or at the one the hub (or the offline cache) has now.

    Fetches config.json only, so that a cell that cannot fit is refused before gigabytes are downloaded.
    Raises BadCheckpoint when it cannot be had or has another shape, MissingPackage without huggingface_hub.
    """
    folder = _download(entry.hub, entry.revision, ["config.json"])
    _check_config(folder, entry.hub, shape)
    # the snapshot's folder is named after the commit that a missing revision was resolved to
    return Checkpoint(entry.revision or folder.name, None, entry.hub, pinned=entry.revision is not None)


def fetch(checkpoint: Checkpoint) -> Path:
    """The folder of the checkpoint, downloaded where it is not here yet, its files checked."""
    if checkpoint.folder is not None:
        return checkpoint.folder
    assert checkpoint.hub is not None
    folder = _download(checkpoint.hub, checkpoint.weights_id, WANTED)
    for file in weight_files(folder):
        read_header(file)
    return folder


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of the checkpoint, by name. Raises BadCheckpoint where one is missing."""
    names = _shard_names(folder)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise BadCheckpoint(f"checkpoint {folder}: {len(missing)} of {len(names)} shards missing ({missing[0]}, …)")
    return tuple(folder / name for name in names)


def read_header(file: Path) -> bytes:
    """The JSON header of a safetensors file: 8 bytes of little-endian length, then as many of JSON.

    Raises BadCheckpoint when the header is damaged or the file is shorter or longer than its tensors.
    """
    size = file.stat().st_size
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > min(HEADER_LIMIT_BYTES, size - 8):
            raise BadCheckpoint(f"checkpoint file {file} is truncated or not safetensors ({size} bytes)")
        header = opened.read(length)
    expected = 8 + length + _data_end(header, file)
    if expected != size:
        raise BadCheckpoint(f"checkpoint file {file} is truncated: {size} bytes, its header says {expected}")
    return header


def _download(hub: str, revision: str | None, patterns: list[str]) -> Path:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingPackage("weights=hub needs the package huggingface_hub in this interpreter") from error
    try:
        return Path(
            huggingface_hub.snapshot_download(hub, revision=revision, allow_patterns=patterns, ignore_patterns=UNWANTED)
        )
    except DecodeFloorError:  # Ctrl-C while downloading
        raise
    # the library raises its own, httpx's and the operating system's errors; each means "cannot be had"
    except Exception as error:
        raise BadCheckpoint(
            f"{hub} cannot be fetched ({type(error).__name__}: {_first_line(error)}): check the network, "
            "HF_TOKEN for a gated model, or give a local folder with weights=PATH"
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")


def _check_config(folder: Path, name: str, shape: ModelShape) -> None:
    if not folder.is_dir():
        raise BadCheckpoint(f"weights={name}: no such folder")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadCheckpoint(f"weights={name}: no config.json in that folder") from error
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"weights={name}: config.json cannot be read ({error})") from error
    if not isinstance(config, dict):
        raise BadCheckpoint(f"weights={name}: config.json is not a JSON object")
    different = list(shape_differences(config, shape))
    if different:
        raise BadCheckpoint(f"weights={name}: another shape than the model's: {'; '.join(different)}")


def shape_differences(config: Mapping[str, Any], shape: ModelShape) -> Iterator[str]:
    """One clause for each field in which a config.json and the model differ."""
    expected = shape.to_json()
    found = {ours: config.get(theirs) for theirs, ours in CONFIG_FIELDS.items()}
    found["tied_embedding"] = bool(found["tied_embedding"])
    for theirs, ours in CONFIG_FIELDS.items():
        if found[ours] != expected[ours]:
            yield f"{theirs} is {found[ours]}, expected {expected[ours]}"
    if (config.get("head_dim") or shape.head_dim) != shape.head_dim:
        yield f"head_dim is {config['head_dim']}, expected {shape.head_dim}"
    yield from _rope_differences(config, shape)


def _rope_differences(config: Mapping[str, Any], shape: ModelShape) -> Iterator[str]:
    """transformers 5 writes `rope_parameters`, older versions `rope_theta` and `rope_scaling`."""
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    theta = rope.pop("rope_theta", config.get("rope_theta"))
    if "type" in rope:
        rope.setdefault("rope_type", rope.pop("type"))
    scaling = None if rope.get("rope_type", "default") == "default" else rope
    if theta != shape.rope_theta:
        yield f"rope_theta is {theta}, expected {shape.rope_theta}"
    if scaling != shape.rope_scaling:
        yield f"rope_scaling is {scaling}, expected {shape.rope_scaling}"


def _shard_names(folder: Path) -> tuple[str, ...]:
    index = folder / INDEX_NAME
    if index.is_file():
        return _indexed_names(index)
    if (folder / SINGLE_NAME).is_file():
        return (SINGLE_NAME,)
    pickled = next((file.name for pattern in PICKLED for file in sorted(folder.glob(pattern))), None)
    if pickled:
        raise BadCheckpoint(
            f"checkpoint {folder}: only {pickled}: pickled weights are never loaded: convert to safetensors"
        )
    raise BadCheckpoint(f"checkpoint {folder}: neither {SINGLE_NAME} nor {INDEX_NAME} in that folder")


def _indexed_names(index: Path) -> tuple[str, ...]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise BadCheckpoint(f"checkpoint index {index} is damaged ({error})") from error
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise BadCheckpoint(f"checkpoint index {index} is damaged: it must name files of its own folder")
    return tuple(names)


def _data_end(header: bytes, file: Path) -> int:
    try:
        tensors = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        return max((int(entry["data_offsets"][1]) for entry in tensors.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadCheckpoint(f"checkpoint file {file}: its header is damaged ({error})") from error


def _headers_id(files: tuple[Path, ...]) -> str:
    """Equal for equal layouts: only sizes count of the values, so that 16 GB need no minute of hashing."""
    headers = [[file.name, file.stat().st_size, read_header(file).decode("utf-8")] for file in files]
    return f"headers-{short_hash(headers, ID_LENGTH)}"
