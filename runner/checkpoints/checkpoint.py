"""Checkpoints: folders of safetensors, local or on the hub, checked without loading a weight.

Pickled weights are never opened. `weights_id` identifies the weights: the hub's revision, or a hash of the folder's
content (`contentid`); never a path.
"""

from __future__ import annotations

import errno
import os
import sys
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
from runner.checkpoints.quantisation import Packing
from runner.checkpoints.tensorfile import Tensor
from runner.errors import BadCheckpoint, DecodeFloorError, DiskFull, MissingPackage
from runner.record.flags import CONVERTED, UNPINNED

DOWNLOADED = ["*.safetensors", "*.json"]
# Mistral's repositories hold a second copy of all weights under this name, Llama's the original release
NOT_DOWNLOADED = ["consolidated*", "original/*"]
HUB_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}  # transformers' names
MIXED = "mixed"
USE_ANOTHER = "use the unquantised checkpoint it was made from, or another one"


@dataclass(frozen=True)
class Checkpoint:
    """Weights to load.

    `folder` is None before a download from `hub` at `weights_id`; the downloaded weights must then be of `shape`.
    `scheme` describes packed weights and is None for unpacked ones. `dtype` is the stored dtype of the unpacked
    tensors, as far as it is known without them.
    """

    weights_id: str
    folder: Path | None
    hub: str | None = None
    pinned: bool = True
    shape: ModelShape | None = None
    dtype: str | None = None
    quant: str = "bf16"
    scheme: Scheme | None = None

    def flags(self, dtype: str) -> tuple[str, ...]:
        """Returns the flags of a session that runs these weights in `dtype`."""
        conditions = {CONVERTED: self.dtype not in (None, dtype), UNPINNED: not self.pinned}
        return tuple(flag for flag, holds in conditions.items() if holds)


def local(path: str, shape: ModelShape, quant: str) -> Checkpoint:
    """Returns the checkpoint in a local folder.

    Raises BadCheckpoint if it is missing, truncated, pickled, of another quant or not exactly the model.
    """
    folder, name = Path(os.path.realpath(os.path.expanduser(path))), f"weights={path}"
    config = _check_config(folder, name, shape)
    packed = weightfiles.packed_tensors(weightfiles.stored(folder, name))
    scheme = _scheme(_packing(folder, config, name, packed), packed, name, quant, shape)
    expected = weightfiles.expected(shape, quant, scheme)
    tensors = weightfiles.check(folder, name, expected)
    plain = [key for key, part in expected.items() if part.dtype == weightfiles.ANY_FLOAT]
    stored = {weightfiles.DTYPES[tensors[key].dtype] for key in (*plain, tensornames.HEAD) if key in tensors}
    weights_id = contentid.weights_id(weightfiles.weight_files(folder, name), name, scheme)
    dtype = stored.pop() if len(stored) == 1 else MIXED
    return Checkpoint(weights_id, folder, dtype=dtype, quant=quant, scheme=scheme)


def on_hub(entry: HubCheckpoint, shape: ModelShape, quant: str) -> Checkpoint:
    """Returns the hub's checkpoint at its pinned revision, or else at the current one of the hub or the offline cache.

    Fetches only config.json and the files beside it, so that a cell that does not fit is refused before the download.
    Raises BadCheckpoint if it is not available or is another model, MissingPackage without huggingface_hub.
    """
    folder = _download(entry.hub, entry.revision, [modelconfig.NAME, *quantisation.BESIDE])
    config = _check_config(folder, entry.hub, shape)
    dtype = HUB_DTYPES.get(str(config.get("dtype") or config.get("torch_dtype")))
    # without a revision, the snapshot's folder has the name of the resolved commit
    scheme = _scheme(_packing(folder, config, entry.hub, None), None, entry.hub, quant, shape)
    revision, pinned = entry.revision or folder.name, entry.revision is not None
    return Checkpoint(revision, None, entry.hub, pinned, shape, dtype, quant, scheme)


def fetch(checkpoint: Checkpoint) -> Path:
    """Returns the checkpoint's folder, downloaded if necessary, with its files checked."""
    if checkpoint.folder is not None:
        return checkpoint.folder
    assert checkpoint.hub is not None
    assert checkpoint.shape is not None
    folder = _download(checkpoint.hub, checkpoint.weights_id, DOWNLOADED)
    expected = weightfiles.expected(checkpoint.shape, checkpoint.quant, checkpoint.scheme)
    weightfiles.check(folder, checkpoint.hub, expected)
    return folder


def _download(hub: str, revision: str | None, patterns: list[str]) -> Path:
    """Returns the snapshot's folder in the hub's cache. Raises BadCheckpoint, DiskFull or MissingPackage."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingPackage(
            f"weights=hub needs the package huggingface_hub, which {sys.executable} lacks: use `make cell`, "
            "which has it, or give a local folder with weights=PATH"
        ) from error

    def snapshot(cached: bool) -> Path:
        return Path(
            huggingface_hub.snapshot_download(
                hub, revision=revision, allow_patterns=patterns, ignore_patterns=NOT_DOWNLOADED, local_files_only=cached
            )
        )

    try:
        return snapshot(cached=False)
    # the library raises its own, httpx's and the operating system's errors; each means "not available"
    except Exception as error:
        try:
            # a commit never changes, so a copy in the cache is enough; the library requests the list of files from the
            # hub even in offline mode
            return snapshot(cached=True)
        except (OSError, ValueError):
            raise _refusal(error, hub, revision) from error


def _refusal(error: Exception, hub: str, revision: str | None) -> DecodeFloorError:
    """Returns the error of a failed download, with what to do. More specific errors come first."""
    from huggingface_hub import constants, errors

    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no space left to download {hub}: free some or let HF_HOME name another disk")
    if isinstance(error, OSError) and error.filename and error.errno in failures.REMEDIES:
        return BadCheckpoint(f"the hub's cache cannot be used: {failures.path_message(error)} with HF_HOME")
    meanings: tuple[tuple[type[Exception], str], ...] = (
        (errors.HFValidationError, "is not a repository name: correct it in models.yaml"),
        (errors.GatedRepoError, "is gated: accept its terms on its page on the hub, and set that account's HF_TOKEN"),
        (errors.RevisionNotFoundError, f"has no revision {revision} on the hub: correct it in models.yaml"),
        (errors.RepositoryNotFoundError, "is not on the hub, or private: check its name in models.yaml, or HF_TOKEN"),
        (errors.HfHubHTTPError, "cannot be fetched, the hub refused: try again later"),
    )
    fallback = "is incomplete in the cache and the hub does not answer: check the network"
    if constants.is_offline_mode():
        fallback = "is incomplete in the cache: unset HF_HUB_OFFLINE to download it"
    meaning = next((text for kind, text in meanings if isinstance(error, kind)), fallback)
    return BadCheckpoint(
        f"{hub} {meaning}, or give a local folder with weights=PATH ({type(error).__name__}: {_first_line(error)})"
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")


def _check_config(folder: Path, name: str, shape: ModelShape) -> Mapping[str, Any]:
    """Returns the config.json. Raises BadCheckpoint if it describes another model."""
    config = modelconfig.read(folder, name)
    try:
        different = list(differences(config, shape))
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise BadCheckpoint(
            f"{name}: config.json has a value of an unexpected type ({error}): fetch it again, or correct it"
        ) from error
    if different:
        clauses = "; ".join(different)
        raise BadCheckpoint(f"{name}: another model in config.json: {clauses}: use a checkpoint of the requested model")
    return config


def _packing(folder: Path, config: Mapping[str, Any], name: str, packed: Collection[str] | None) -> Packing | None:
    try:
        return quantisation.packing(folder, config, packed)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{name}: {error}") from error


def _scheme(
    packing: Packing | None, packed: Mapping[str, Tensor] | None, name: str, quant: str, shape: ModelShape
) -> Scheme | None:
    """Returns how the weights are packed, or None for unpacked ones.

    `packed` are the packed tensors, None if the weights have not been read. Raises BadCheckpoint if they are of another
    quant, or if no weights of this shape can be packed so.
    """
    declared = registry.weight_format(quant).DECLARATION
    if packing is None:
        if packed:
            raise weightfiles.undescribed(name, packed)
        if declared.packed:
            raise _not_quantised(name, quant, is_certain=packed is not None)
        return None
    if packing.method is None and packing.fields:
        raise BadCheckpoint(
            f"{name}: {packing.place}, but no {quantisation.METHOD}, and its fields ({', '.join(packing.fields)}) do "
            f"not identify it: add one ({', '.join(quantisation.MARKS)})"
        )
    if packing.method not in declared.methods:
        method = _method_text(packing)
        raise BadCheckpoint(
            f"{name}: {packing.place} ({method}), which is not quant={quant}: {_method_advice(packing)}"
        )
    try:
        scheme = registry.packed_format(quant).read_config(packing.fields)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{name}: {error}: {USE_ANOTHER}") from error
    if inputs := scheme.first_undivided_inputs(shape):
        raise BadCheckpoint(
            f"{name}: its group_size is {scheme.group_size}, which does not divide a layer's {inputs} inputs: "
            "use another checkpoint"
        )
    return scheme


def _not_quantised(name: str, quant: str, is_certain: bool) -> BadCheckpoint:
    doubt = "" if is_certain else f", or nothing says how (no {', no '.join(quantisation.BESIDE)})"
    return BadCheckpoint(
        f"{name}: its weights are not quantised (config.json has no quantization_config){doubt}: choose quant=bf16, "
        f"or a {quant} checkpoint"
    )


def _method_text(packing: Packing) -> str:
    fields = packing.fields
    kind = fields.get("bnb_4bit_quant_type") if fields.get("load_in_4bit") else fields.get("bits")
    return " ".join(str(part) for part in (packing.method or "unknown", kind) if part is not None)


def _method_advice(packing: Packing) -> str:
    """Returns the advice for a checkpoint of another method, whose format may still be unable to read it."""
    for name in registry.format_names():
        if packing.method in registry.weight_format(name).DECLARATION.methods:
            try:
                registry.packed_format(name).read_config(packing.fields)
            except BadCheckpoint as error:
                return f"quant={name} cannot read it either ({error}): {USE_ANOTHER}"
            return f"choose quant={name}"
    return USE_ANOTHER
