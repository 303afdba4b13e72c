"""The catalogue: GPUs and models as data with sources (`experiments/*.yaml`), validated when read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml

from runner import registry
from runner.cell import shaperules
from runner.cell.entryfields import KEY, Inline, Place, check_positive, checked
from runner.cell.jsonform import hints
from runner.cell.shape import ModelShape
from runner.cell.vocabulary import AUTO, suggestion
from runner.errors import BadValue
from runner.files import shipped, yamlfile

FOLDER_VARIABLE = "DECODE_FLOOR_EXPERIMENTS"
SHIPPED = shipped.folder("experiments")
# Architecture → whether it has biases at q, k and v. In tests, the gate rejects every planted mistake in each of them.
ARCHITECTURES = {"qwen2": True, "mistral": False, "llama": False}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=~-]*")  # names appear in commands and file names
IMAGES = ("ampere", "ada", "hopper", "blackwell", "cpu")


@dataclass(frozen=True)
class Figure:
    """A number and its source. If no source could be read, `value` is None and `note` says why."""

    value: float | None
    source: str | None
    note: str | None = None
    date: str | None = None


@dataclass(frozen=True)
class Gpu:
    """A GPU of the catalogue. `nvml` is a regular expression for NVML's whole name, None for the CPU and for a board
    whose name NVML does not tell apart. Bandwidth is the datasheet peak in decimal GB/s, memory is in decimal GB (with
    `shared_memory` the CPU uses it, too), L2 in MiB. `power_w` is the largest power of the card, board or module."""

    key: str
    name: str
    nvml: str | None
    compute_capability: str | None
    compute_capability_source: str | None
    image: str | None
    image_reason: str | None
    bandwidth_gbs: Figure
    memory_gb: Figure
    l2_mib: Figure
    price_usd_per_hour: Figure
    power_w: Figure = Figure(None, None, "not stated")
    shared_memory: bool = False


@dataclass(frozen=True)
class HubCheckpoint:
    """A model's weights on the hub. A `revision` of None is resolved once, and the session is flagged."""

    hub: str
    revision: str | None
    note: str | None = None


@dataclass(frozen=True)
class Model:
    """A model of the catalogue: its shape, and its checkpoints by quant."""

    key: str
    name: str
    shape: Annotated[ModelShape, Inline()]
    source: str
    checkpoints: dict[str, HubCheckpoint]


FIGURES = tuple(name for name, hint in hints(Gpu).items() if hint is Figure)


def folder() -> Path:
    """Returns the experiments folder: the one that DECODE_FLOOR_EXPERIMENTS names, else the one beside the package."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else SHIPPED


def gpus(where: Path | None = None) -> Mapping[str, Gpu]:
    """Returns key → GPU, in the file's order, from the folder `where`, by default `folder()`.

    Raises BadValue that names file, entry and field."""
    return _gpus(where or folder())


def models(where: Path | None = None) -> Mapping[str, Model]:
    """Returns key → model, as `gpus` does."""
    return _models(where or folder())


def gpu_for(nvml_name: str) -> Gpu | None:
    """Returns the entry whose pattern matches NVML's whole name; None if there is none.

    Raises BadValue if several match: a card measured under two keys would count as two cards.
    """
    return _gpu_for(nvml_name, folder())


@cache
def _gpu_for(nvml_name: str, where: Path) -> Gpu | None:
    matches = [gpu for gpu in gpus(where).values() if gpu.nvml is not None and re.fullmatch(gpu.nvml, nvml_name)]
    if len(matches) > 1:
        raise BadValue(
            f"gpus.yaml: {' and '.join(gpu.key for gpu in matches)} match the NVML name {nvml_name!r}: "
            "make their patterns narrower"
        )
    return matches[0] if matches else None


def entry_to_add(key: str, nvml_name: str, compute_capability: str | None) -> str:
    """Returns the YAML entry for a card that the catalogue lacks. Its figures are null, to be looked up."""
    blank = {"value": None, "source": None, "note": "to be looked up"}
    entry = {
        "name": nvml_name,
        "nvml": re.escape(nvml_name).replace("\\ ", " ").replace("\\-", "-"),
        "compute_capability": compute_capability,
        "compute_capability_source": compute_capability and "the device itself",
        "image": None,
        "image_reason": "not assigned yet",
        "shared_memory": False,
        **{name: dict(blank) for name in FIGURES},
    }
    return yaml.safe_dump({key: entry}, sort_keys=False, width=200)


@cache
def _gpus(where: Path) -> dict[str, Gpu]:
    path = where / "gpus.yaml"
    return {key: _gpu(key, entry, Place(path.name, key)) for key, entry in read_yaml(path).items()}


@cache
def _models(where: Path) -> dict[str, Model]:
    path = where / "models.yaml"
    return {key: _model(key, entry, Place(path.name, key)) for key, entry in read_yaml(path).items()}


def read_yaml(path: Path) -> dict[str, Any]:
    """Returns the mapping in a YAML file of the experiments folder. Raises BadValue if it cannot be read or is no
    mapping."""
    if not os.environ.get(FOLDER_VARIABLE):
        return yamlfile.read(path)
    return yamlfile.read(path, f", copy {SHIPPED / path.name} there, or correct {FOLDER_VARIABLE}")


def _gpu(key: str, entry: Any, place: Place) -> Gpu:
    data = checked(Gpu, entry, place)
    figures = {name: _figure(data[name], place.at(name)) for name in FIGURES if name in data}
    gpu = Gpu(**{**data, **figures, KEY: key})
    if gpu.price_usd_per_hour.value is not None and not gpu.price_usd_per_hour.date:
        raise place.at("price_usd_per_hour").error('a price needs its date: add date, such as "2026-11"')
    _check_pattern(gpu.nvml, place.at("nvml"))
    _check_capability(gpu.compute_capability, gpu.compute_capability_source, place.at("compute_capability"))
    _check_image(gpu.image, gpu.image_reason, place.at("image"))
    return gpu


def _check_pattern(pattern: str | None, place: Place) -> None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise place.error(
            f"not a regular expression ({error}): write one for the name that `nvidia-smi -L` prints"
        ) from error


def _check_capability(capability: str | None, source: str | None, place: Place) -> None:
    if capability is None:
        return
    if not re.fullmatch(r"\d+\.\d", capability):
        raise place.error(f'{capability!r} is not of the form major.minor: write it as "9.0"')
    if not source:
        raise place.error("needs its compute_capability_source: say there where it was read")


def _check_image(image: str | None, reason: str | None, place: Place) -> None:
    if image is None and not reason:
        raise place.error("null needs its image_reason: say there why there is no image")
    if image is not None and image not in IMAGES:
        raise place.error(f"{image!r} is not one of {', '.join(IMAGES)}: choose one, or null with an image_reason")


def _figure(entry: Any, place: Place) -> Figure:
    figure = Figure(**checked(Figure, entry, place))
    if figure.value is None:
        if not figure.note:
            raise place.error("a null value needs a note that says why: add note")
    elif not figure.source:
        raise place.error("a value needs its source: add source, where it was read, or write null and a note")
    else:
        check_positive(figure.value, place)
    return figure


def _model(key: str, entry: Any, place: Place) -> Model:
    if not NAME.fullmatch(key) or key == AUTO:
        raise place.error("not a model name: use letters, digits and . _ + = ~ -, and begin with a letter or digit")
    data = checked(Model, entry, place)
    shape = ModelShape(**{name: data[name] for name in hints(ModelShape)})
    _check_architecture(shape, place)
    shaperules.check(shape, place)
    checkpoints = _checkpoints(data["checkpoints"], place.at("checkpoints"))
    return Model(key, data["name"], shape, data["source"], checkpoints)


def _check_architecture(shape: ModelShape, place: Place) -> None:
    kind = shape.model_type
    if kind not in ARCHITECTURES:
        allowed = ", ".join(ARCHITECTURES)
        near = suggestion(kind, ARCHITECTURES)
        raise place.at("model_type").error(f"the gate was not tested with {kind!r} (allowed: {allowed}){near}")
    if shape.qkv_bias != ARCHITECTURES[kind]:
        has, word = ("", "true") if ARCHITECTURES[kind] else ("no ", "false")
        raise place.at("qkv_bias").error(f"a {kind} has {has}biases at q, k and v: write {word}")


def _checkpoints(data: dict[str, Any], place: Place) -> dict[str, HubCheckpoint]:
    quants = registry.format_names()
    for quant in data:
        if quant not in quants:
            near = suggestion(str(quant), quants)
            raise place.at(str(quant)).error(f"unknown quant (allowed: {', '.join(quants)}){near}")
    return {quant: _checkpoint(entry, place.at(quant)) for quant, entry in data.items()}


def _checkpoint(entry: Any, place: Place) -> HubCheckpoint:
    checkpoint = HubCheckpoint(**checked(HubCheckpoint, entry, place))
    revision = checkpoint.revision
    if revision is not None and not re.fullmatch(r"[0-9a-f]{40}", revision):
        problem = f"{revision!r} is not a commit (40 hexadecimal digits), and a branch may change"
        raise place.at("revision").error(f"{problem}: write the hash of a commit, or null")
    return checkpoint
