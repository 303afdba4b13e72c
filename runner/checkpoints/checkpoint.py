"""Checkpoints: a folder of safetensors, found on disk or on the hub, checked without loading a single weight.

Pickled weights are never opened. `weights_id` names the weights: the hub's revision, or a hash of the folder's content
(`contentid`); never a path.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import failures, registry
from runner.cell.catalogue import HubCheckpoint
from runner.cell.scheme import Scheme
from runner.cell.shape import ModelShape
from runner.checkpoints import contentid, modelconfig, quantisation, tensornames, weightfiles
from runner.checkpoints.modelconfig import differences
from runner.checkpoints.quantisation import Told
from runner.checkpoints.weightfiles import Tensor
from runner.errors import BadCheckpoint, DecodeFloorError, DiskFull, MissingPackage
from runner.record.flags import CONVERTED, UNPINNED

WANTED = ["*.safetensors", "*.json"]
# Mistral's repositories hold every weight a second time under this name, Llama's the original release
UNWANTED = ["consolidated*", "original/*"]
HUB_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}  # transformers' words
MIXED = "mixed"
UNREAD = "take the unquantised checkpoint it was made from, or another one"


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
        conditions = {CONVERTED: self.dtype not in (None, dtype), UNPINNED: not self.pinned}
        return tuple(flag for flag, holds in conditions.items() if holds)


def local(path: str, shape: ModelShape, quant: str) -> Checkpoint:
    """The checkpoint in a local folder. Raises BadCheckpoint when it is missing, truncated, pickled, of another quant
    or not exactly the model."""
    folder, name = Path(os.path.realpath(os.path.expanduser(path))), f"weights={path}"
    config = _check_config(folder, name, shape)
    packed = weightfiles.packed_tensors(weightfiles.stored(folder, name))
    scheme = _scheme(_told(folder, config, name, packed), packed, name, quant, shape)
    wanted = weightfiles.expected(shape, quant, scheme)
    found = weightfiles.check(folder, name, wanted)
    plain = [own for own, part in wanted.items() if part.dtype == weightfiles.ANY_FLOAT]
    stored = {weightfiles.DTYPES[found[own].dtype] for own in (*plain, tensornames.HEAD) if own in found}
    weights_id = contentid.of(weightfiles.weight_files(folder, name), name, scheme)
    dtype = stored.pop() if len(stored) == 1 else MIXED
    return Checkpoint(weights_id, folder, dtype=dtype, quant=quant, scheme=scheme)


def on_hub(entry: HubCheckpoint, shape: ModelShape, quant: str) -> Checkpoint:
    """The hub's checkpoint at its pinned revision, or at the one the hub (or the offline cache) has now.

    Fetches config.json and its like only, so that a cell that cannot fit is refused before gigabytes are downloaded.
    Raises BadCheckpoint when it cannot be had or is another model, MissingPackage without huggingface_hub.
    """
    folder = _download(entry.hub, entry.revision, [modelconfig.NAME, *quantisation.BESIDE])
    config = _check_config(folder, entry.hub, shape)
    dtype = HUB_DTYPES.get(str(config.get("dtype") or config.get("torch_dtype")))
    # the snapshot's folder is named after the commit that a missing revision was resolved to
    scheme = _scheme(_told(folder, config, entry.hub, None), None, entry.hub, quant, shape)
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
    if isinstance(error, OSError) and error.filename and error.errno in failures.REMEDIES:
        return BadCheckpoint(f"the hub's cache cannot be used: {failures.refused(error)} with HF_HOME")
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
    config = modelconfig.read(folder, name)
    try:
        different = list(differences(config, shape))
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise BadCheckpoint(
            f"{name}: config.json holds a value of another kind than expected ({error}): fetch it again, or correct it"
        ) from error
    if different:
        raise BadCheckpoint(f"{name}: another model in config.json: {'; '.join(different)}: choose that model's own")
    return config


def _told(folder: Path, config: Mapping[str, Any], name: str, packed: Collection[str] | None) -> Told | None:
    try:
        return quantisation.told(folder, config, packed)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{name}: {error}") from error


def _scheme(
    told: Told | None, packed: Mapping[str, Tensor] | None, name: str, quant: str, shape: ModelShape
) -> Scheme | None:
    """How the weights are packed, None for unquantised ones; `packed` are their packed tensors, None where nobody has
    seen them. Raises BadCheckpoint when they are not of this quant, or packed as no weights of this shape can be.
    """
    declared = registry.weight_format(quant).DECLARATION
    if told is None:
        if packed:
            raise weightfiles.untold(name, packed)
        if declared.packed:
            raise _not_quantised(name, quant, is_certain=packed is not None)
        return None
    if told.method is None and told.fields:
        raise BadCheckpoint(
            f"{name}: {told.place}, but no {quantisation.METHOD}, and its fields ({', '.join(told.fields)}) do not "
            f"tell which it is: add one ({', '.join(quantisation.MARKS)})"
        )
    if told.method not in declared.methods:
        raise BadCheckpoint(f"{name}: {told.place} ({_words(told)}), which is not quant={quant}: {_other(told)}")
    try:
        scheme = registry.packed_format(quant).read_config(told.fields)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{name}: {error}: {UNREAD}") from error
    if inputs := scheme.undivided(shape):
        raise BadCheckpoint(
            f"{name}: its group_size is {scheme.group_size}, which does not divide a layer's {inputs} inputs: "
            "take another checkpoint"
        )
    return scheme


def _not_quantised(name: str, quant: str, is_certain: bool) -> BadCheckpoint:
    doubt = "" if is_certain else f", or nothing says how (no {', no '.join(quantisation.BESIDE)})"
    return BadCheckpoint(
        f"{name}: its weights are not quantised (config.json has no quantization_config){doubt}: choose quant=bf16, "
        f"or a {quant} checkpoint"
    )


def _words(told: Told) -> str:
    fields = told.fields
    kind = fields.get("bnb_4bit_quant_type") if fields.get("load_in_4bit") else fields.get("bits")
    return " ".join(str(part) for part in (told.method or "unknown", kind) if part is not None)


def _other(told: Told) -> str:
    """Returns the advice for a checkpoint of another method; a format of that method need not read this one."""
    for name in registry.format_names():
        if told.method in registry.weight_format(name).DECLARATION.methods:
            try:
                registry.packed_format(name).read_config(told.fields)
            except BadCheckpoint as error:
                return f"nor is it read as quant={name} ({error}): {UNREAD}"
            return f"choose quant={name}"
    return UNREAD
