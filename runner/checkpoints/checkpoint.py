"""Checkpoints: a folder of safetensors, found on disk or on the hub, checked without loading a single weight.

Pickled weights are never opened. `weights_id` names the weights: the hub's revision, or a hash of the
safetensors headers and file sizes, of packed ones also of how they are packed; never a path.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import registry
from runner.catalogue import HubCheckpoint
from runner.cell import short_hash
from runner.checkpoints import weightfiles
from runner.errors import BadCheckpoint, DecodeFloorError, DiskFull, MissingPackage
from runner.scheme import Scheme
from runner.shape import ModelShape

WANTED = ["*.safetensors", "*.json"]
# Mistral's repositories hold every weight a second time under this name, Llama's the original release
UNWANTED = ["consolidated*", "original/*"]
ID_LENGTH = 16
HUB_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}  # transformers' words
MIXED = "mixed"
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
# What transformers takes where config.json says nothing: Mistral's window is on, Qwen2's is off.
DEFAULT_WINDOW = {"mistral": 4096}
WINDOW_OFF_BY_DEFAULT = ("qwen2",)


@dataclass(frozen=True)
class Checkpoint:
    """Weights to load: `folder` is None while they are only known on the hub, as `hub` at `weights_id`, where they
    must turn out to be of `shape`. `scheme` is how they are packed, None where they are not; `dtype` is what they (of
    packed ones, the others) are stored in, as far as that is known without them."""

    weights_id: str
    folder: Path | None
    hub: str | None = None
    pinned: bool = True
    shape: ModelShape | None = None
    dtype: str | None = None
    quant: str = "bf16"
    scheme: Scheme | None = None

    def flags(self, dtype: str) -> tuple[str, ...]:
        """What a session that runs these weights in `dtype` is marked with."""
        conditions = {"converted": self.dtype not in (None, dtype), "unpinned": not self.pinned}
        return tuple(flag for flag, holds in conditions.items() if holds)


def local(path: str, shape: ModelShape, quant: str) -> Checkpoint:
    """The checkpoint in a local folder. Raises BadCheckpoint when it is missing, truncated, pickled, of another quant
    or not exactly the model."""
    folder, name = Path(path).expanduser().resolve(), f"weights={path}"
    scheme = _scheme(_check_config(folder, name, shape), name, quant, shape)
    wanted = weightfiles.expected(shape, quant, scheme)
    found = weightfiles.check(folder, name, wanted)
    plain = [own for own, part in wanted.items() if part.dtype == weightfiles.ANY_FLOAT]
    stored = {weightfiles.DTYPES[found[own].dtype] for own in plain}
    weights_id = _headers_id(weightfiles.weight_files(folder, name), scheme)
    dtype = stored.pop() if len(stored) == 1 else MIXED
    return Checkpoint(weights_id, folder, dtype=dtype, quant=quant, scheme=scheme)


def on_hub(entry: HubCheckpoint, shape: ModelShape, quant: str) -> Checkpoint:
    """The hub's checkpoint at its pinned revision, or at the one the hub (or the offline cache) has now.

    Fetches config.json only, so that a cell that cannot fit is refused before gigabytes are downloaded.
    Raises BadCheckpoint when it cannot be had or is another model, MissingPackage without huggingface_hub.
    """
    folder = _download(entry.hub, entry.revision, ["config.json"])
    config = _check_config(folder, entry.hub, shape)
    dtype = HUB_DTYPES.get(str(config.get("dtype") or config.get("torch_dtype")))
    # the snapshot's folder is named after the commit that a missing revision was resolved to
    scheme = _scheme(config, entry.hub, quant, shape)
    revision, pinned = entry.revision or folder.name, entry.revision is not None
    return Checkpoint(revision, None, entry.hub, pinned, shape, dtype, quant, scheme)


def fetch(checkpoint: Checkpoint) -> Path:
    """The folder of the checkpoint, downloaded where it is not here yet, its files checked."""
    if checkpoint.folder is not None:
        return checkpoint.folder
    assert checkpoint.hub is not None
    assert checkpoint.shape is not None
    folder = _download(checkpoint.hub, checkpoint.weights_id, WANTED)
    wanted = weightfiles.expected(checkpoint.shape, checkpoint.quant, checkpoint.scheme)
    weightfiles.check(folder, checkpoint.hub, wanted)
    return folder


def _download(hub: str, revision: str | None, patterns: list[str]) -> Path:
    """The snapshot's folder in the hub's cache. Raises BadCheckpoint, DiskFull, MissingPackage."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingPackage("weights=hub needs the package huggingface_hub in this interpreter") from error

    def snapshot(cached: bool) -> Path:
        return Path(
            huggingface_hub.snapshot_download(
                hub, revision=revision, allow_patterns=patterns, ignore_patterns=UNWANTED, local_files_only=cached
            )
        )

    try:
        return snapshot(cached=False)
    # the library raises its own, httpx's and the operating system's errors; each means "cannot be had"
    except Exception as error:
        try:
            # a commit never changes, so a copy in the cache will do; the library asks the hub for the list of its
            # files even when it is told to stay offline
            return snapshot(cached=True)
        except (OSError, ValueError):
            raise _refusal(error, hub, revision) from error


def _refusal(error: Exception, hub: str, revision: str | None) -> DecodeFloorError:
    """What a failed download means, and what to do; the more special errors first."""
    from huggingface_hub import constants, errors

    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no space left to download {hub}: free some or let HF_HOME name another disk")
    meanings: tuple[tuple[type[Exception], str], ...] = (
        (errors.HFValidationError, "is no name of a repository: correct it in models.yaml"),
        (errors.GatedRepoError, "is gated: accept its terms on its page on the hub, and give that account's HF_TOKEN"),
        (errors.RevisionNotFoundError, f"has no revision {revision} on the hub: correct it in models.yaml"),
        (errors.RepositoryNotFoundError, "is not on the hub, or private: check its name in models.yaml, or HF_TOKEN"),
        (errors.HfHubHTTPError, "cannot be fetched, the hub refused: try again later"),
    )
    away = "is not whole in the cache and the hub does not answer: check the network"
    if constants.is_offline_mode():
        away = "is not whole in the cache: unset HF_HUB_OFFLINE to download it"
    meaning = next((text for kind, text in meanings if isinstance(error, kind)), away)
    return BadCheckpoint(
        f"{hub} {meaning}, or give a local folder with weights=PATH ({type(error).__name__}: {_first_line(error)})"
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")


def _check_config(folder: Path, name: str, shape: ModelShape) -> Mapping[str, Any]:
    """The config.json, when it is this model's."""
    if not folder.is_dir():
        raise BadCheckpoint(f"{name}: no such folder")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadCheckpoint(f"{name}: no config.json in that folder") from error
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"{name}: config.json cannot be read ({error})") from error
    if not isinstance(config, dict):
        raise BadCheckpoint(f"{name}: config.json is not a JSON object")
    try:
        different = list(differences(config, shape))
    except (TypeError, ValueError) as error:
        raise BadCheckpoint(f"{name}: config.json holds a value of another kind than expected ({error})") from error
    if different:
        raise BadCheckpoint(f"{name}: another model in config.json: {'; '.join(different)}: choose that model's own")
    return config


def _scheme(config: Mapping[str, Any], name: str, quant: str, shape: ModelShape) -> Scheme | None:
    """How the weights are packed, None for unquantised ones. Raises BadCheckpoint when they are not of this quant, or
    packed as no weights of this shape can be."""
    quantised = config.get("quantization_config")
    declared = registry.weight_format(quant).DECLARATION
    if not quantised:
        if not declared.packed:
            return None
        raise BadCheckpoint(
            f"{name}: its weights are not quantised (config.json has no quantization_config): choose "
            f"quant=bf16, or a {quant} checkpoint"
        )
    described = dict(quantised) if isinstance(quantised, dict) else {}
    if described.get("quant_method") not in declared.methods:
        raise BadCheckpoint(
            f"{name}: config.json has a quantization_config ({_method(described)}), which is not "
            f"quant={quant}: {_other(described)}"
        )
    try:
        scheme = registry.packed_format(quant).read_config(described)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{name}: {error}") from error
    if inputs := scheme.undivided(shape):
        raise BadCheckpoint(
            f"{name}: its group_size is {scheme.group_size}, which does not divide a layer's {inputs} inputs: "
            "take another checkpoint"
        )
    return scheme


def _method(described: Mapping[str, Any]) -> str:
    kind = described.get("bnb_4bit_quant_type") if described.get("load_in_4bit") else described.get("bits")
    return " ".join(str(part) for part in (described.get("quant_method", "unknown"), kind) if part is not None)


def _other(described: Mapping[str, Any]) -> str:
    """What to do about a checkpoint of another method."""
    names = registry.format_names()
    fitting = [
        name for name in names if described.get("quant_method") in registry.weight_format(name).DECLARATION.methods
    ]
    return f"choose quant={fitting[0]}" if fitting else "take the checkpoint it was made from"


def config_of(shape: ModelShape) -> dict[str, Any]:
    """A config.json of this model, as transformers before version 5 wrote it: every reader knows that form."""
    values = shape.to_json()
    return {
        **{theirs: values[ours] for theirs, ours in CONFIG_FIELDS.items()},
        "architectures": [f"{shape.model_type.capitalize()}ForCausalLM"],
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": shape.max_positions,
        "rope_theta": shape.rope_theta,
        "rope_scaling": shape.rope_scaling,
        "torch_dtype": "float16",
    }


def differences(config: Mapping[str, Any], shape: ModelShape) -> Iterator[str]:
    """One clause for each field in which the model of a config.json computes something else than the shape's."""
    expected = shape.to_json()
    found = {ours: config.get(theirs) for theirs, ours in CONFIG_FIELDS.items()}
    found["tied_embedding"] = bool(found["tied_embedding"])
    for theirs, ours in CONFIG_FIELDS.items():
        if found[ours] != expected[ours]:
            yield f"{theirs} is {found[ours]}, expected {expected[ours]}"
    if (config.get("head_dim") or shape.head_dim) != shape.head_dim:
        yield f"head_dim is {config['head_dim']}, expected {shape.head_dim}"
    yield from _rope_differences(config, shape)
    yield from _layer_differences(config, shape)
    yield from _position_differences(config, shape)


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


def _layer_differences(config: Mapping[str, Any], shape: ModelShape) -> Iterator[str]:
    """What the shape does not hold because all models of the catalogue have it in common."""
    heads = config.get("architectures") or []
    if heads and not any(str(head).endswith("ForCausalLM") for head in heads):
        yield f"architectures is {heads}, expected a …ForCausalLM"
    expected = {"hidden_act": "silu", "attention_bias": shape.qkv_bias, "mlp_bias": False}
    for name, value in expected.items():
        if config.get(name, value) != value:
            yield f"{name} is {config[name]}, expected {value}"


def _position_differences(config: Mapping[str, Any], shape: ModelShape) -> Iterator[str]:
    positions = config.get("max_position_embeddings", shape.max_positions)
    if positions < shape.max_positions:
        yield f"max_position_embeddings is {positions}, expected at least {shape.max_positions}"
    window = config.get("sliding_window", DEFAULT_WINDOW.get(shape.model_type))
    used = config.get("use_sliding_window", shape.model_type not in WINDOW_OFF_BY_DEFAULT)
    if window is not None and used and window < shape.max_positions:
        yield f"sliding_window is {window}, expected none below {shape.max_positions} positions"


def _headers_id(files: tuple[Path, ...], scheme: Scheme | None) -> str:
    """Equal for equal layouts: only sizes count of the values, so that 16 GB need no minute of hashing. A header says
    nothing of `sym` and `desc_act`, by which kernels differ."""
    headers = [[file.name, file.stat().st_size, weightfiles.read_header(file).decode("utf-8")] for file in files]
    return f"headers-{short_hash([*headers, scheme.to_json()] if scheme else headers, ID_LENGTH)}"
