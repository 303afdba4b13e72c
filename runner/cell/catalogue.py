"""The catalogue: GPUs and models as data with sources (`experiments/*.yaml`), validated when read."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from runner import registry
from runner.cell.shape import ModelShape
from runner.cell.vocabulary import AUTO, suggestion
from runner.checkpoints import modelconfig
from runner.errors import BadValue
from runner.files import shipped, yamlfile

FOLDER_VARIABLE = "DECODE_FLOOR_EXPERIMENTS"
SHIPPED = shipped.folder("experiments")
# Architectures whose every planted mistake the gate was seen to reject, and whether each has biases at q, k and v.
ARCHITECTURES = {"qwen2": True, "mistral": False, "llama": False}
ROPE_TYPE = "llama3"  # the one scaling that the gate's reference computes
ROPE_NUMBERS = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=~-]*")  # it stands in commands and in the names of files
SIZES = ("layers", "hidden", "heads", "kv_heads", "head_dim", "intermediate", "vocab", "max_positions")
LARGEST, MOST_LAYERS = 10**12, 10**4  # far above any card's or model's
IMAGES = ("ampere", "ada", "hopper", "blackwell", "cpu")


@dataclass(frozen=True)
class Figure:
    """One number and where it was read; `value` is None where no source could be read: `note` says so."""

    value: float | None
    source: str | None
    note: str | None = None
    date: str | None = None


@dataclass(frozen=True)
class Gpu:
    """A GPU of the catalogue. `nvml` must match NVML's name from end to end; None for the CPU, which NVML
    does not list. Bandwidth is the datasheet peak in decimal GB/s, memory in decimal GB, L2 in MiB."""

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


@dataclass(frozen=True)
class HubCheckpoint:
    """Where a model's weights lie on the hub; `revision` None is resolved once and flagged."""

    hub: str
    revision: str | None
    note: str | None = None


@dataclass(frozen=True)
class Model:
    """A model of the catalogue: its shape and, for each quant, a checkpoint."""

    key: str
    name: str
    shape: ModelShape
    source: str
    checkpoints: dict[str, HubCheckpoint]


FIGURES = ("bandwidth_gbs", "memory_gb", "l2_mib", "price_usd_per_hour")
GPU_FIELDS = {field.name: field.type for field in fields(Gpu) if field.name != "key"}
SHAPE_FIELDS = {field.name: field.type for field in fields(ModelShape)}
MODEL_FIELDS = {"name": "str", **SHAPE_FIELDS, "source": "str", "checkpoints": "dict[str, Any]"}
FIGURE_FIELDS = {"value": "float | None", "source": "str | None"}
FIGURE_EXTRAS = {"note": "str | None", "date": "str | None"}
CHECKPOINT_FIELDS = {"hub": "str", "revision": "str | None"}
KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "Size": (int,),
    "bool": (bool,),
    "float": (int, float),
    "Positive": (int, float),
    "dict[str, Any]": (dict,),
    "Figure": (dict,),
    "None": (type(None),),
}
KIND_WORDS = {
    "str": "text",
    "int": "a whole number",
    "Size": "a whole number",
    "bool": "true or false",
    "float": "a number",
    "Positive": "a number",
    "dict[str, Any]": "a mapping",
    "Figure": "a mapping with value and source",
    "None": "null",
}
# the words of a config.json, from which an entry is copied
CONFIG_WORDS = {**modelconfig.FIELDS, "max_position_embeddings": "max_positions", "attention_bias": "qkv_bias"}


@dataclass(frozen=True)
class _Place:
    """Where in which file we are, for the one line of an error."""

    file: str
    path: str

    def at(self, name: str) -> _Place:
        return _Place(self.file, f"{self.path}.{name}" if self.path else name)

    def error(self, problem: str) -> BadValue:
        return BadValue(f"{self.file}: {self.path}: {problem}" if self.path else f"{self.file}: {problem}")


def folder() -> Path:
    """The experiments folder beside the package, or the one DECODE_FLOOR_EXPERIMENTS names."""
    return Path(os.environ.get(FOLDER_VARIABLE) or SHIPPED)


def gpus(where: Path | None = None) -> Mapping[str, Gpu]:
    """Key → GPU, in the file's order, of `folder()` or of the folder given. Raises BadValue naming file, entry and
    field of what is wrong."""
    return _gpus((where or folder()) / "gpus.yaml")


def models(where: Path | None = None) -> Mapping[str, Model]:
    """Key → model, as `gpus`."""
    return _models((where or folder()) / "models.yaml")


def gpu_for(nvml_name: str) -> Gpu | None:
    """The one entry whose pattern matches NVML's name from end to end, None when there is none.

    Raises BadValue when several match: a card measured under two names would be two cards.
    """
    found = [gpu for gpu in gpus().values() if gpu.nvml is not None and re.fullmatch(gpu.nvml, nvml_name)]
    if len(found) > 1:
        raise BadValue(f"gpus.yaml: {' and '.join(gpu.key for gpu in found)} both match the NVML name {nvml_name!r}")
    return found[0] if found else None


def entry_to_add(key: str, nvml_name: str, compute_capability: str | None) -> str:
    """The YAML entry for a card that the catalogue lacks, its figures still to be looked up."""
    blank = {"value": None, "source": None, "note": "to be looked up"}
    entry = {
        "name": nvml_name,
        "nvml": re.escape(nvml_name).replace("\\ ", " ").replace("\\-", "-"),
        "compute_capability": compute_capability,
        "compute_capability_source": compute_capability and "the device itself",
        "image": None,
        "image_reason": "not assigned yet",
        **{name: dict(blank) for name in FIGURES},
    }
    return yaml.safe_dump({key: entry}, sort_keys=False, width=200)


@cache
def _gpus(path: Path) -> dict[str, Gpu]:
    return {key: _gpu(key, entry, _Place(path.name, key)) for key, entry in read_yaml(path).items()}


@cache
def _models(path: Path) -> dict[str, Model]:
    return {key: _model(key, entry, _Place(path.name, key)) for key, entry in read_yaml(path).items()}


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file of the experiments folder. Raises BadValue where it cannot be read or is none."""
    if not os.environ.get(FOLDER_VARIABLE):
        return yamlfile.read(path)
    return yamlfile.read(path, f", copy {SHIPPED / path.name} there, or correct {FOLDER_VARIABLE}")


def _gpu(key: str, entry: Any, place: _Place) -> Gpu:
    data = _checked(entry, GPU_FIELDS, {}, place)
    figures = {name: _figure(data[name], place.at(name)) for name in FIGURES}
    price = figures["price_usd_per_hour"]
    if price.value is not None and not price.date:
        raise place.at("price_usd_per_hour").error("a price needs its date")
    _check_pattern(data["nvml"], place.at("nvml"))
    _check_capability(data["compute_capability"], data["compute_capability_source"], place.at("compute_capability"))
    _check_image(data["image"], data["image_reason"], place.at("image"))
    return Gpu(**{**data, **figures, "key": key})


def _check_pattern(pattern: str | None, place: _Place) -> None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise place.error(f"not a regular expression ({error})") from error


def _check_capability(capability: str | None, source: str | None, place: _Place) -> None:
    if capability is None:
        return
    if not re.fullmatch(r"\d+\.\d", capability):
        raise place.error(f"{capability!r} is not of the form major.minor")
    if not source:
        raise place.error("needs its compute_capability_source")


def _check_image(image: str | None, reason: str | None, place: _Place) -> None:
    if image is None and not reason:
        raise place.error("null needs its image_reason")
    if image is not None and image not in IMAGES:
        raise place.error(f"{image!r} is not one of {', '.join(IMAGES)}")


def _figure(entry: Any, place: _Place) -> Figure:
    data = _checked(entry, FIGURE_FIELDS, FIGURE_EXTRAS, place)
    if data["value"] is None:
        if not data.get("note"):
            raise place.error("a null value needs a note that says why")
    elif not data["source"]:
        raise place.error("a value needs its source")
    else:
        _check_positive(data["value"], place)
    return Figure(**data)


def _model(key: str, entry: Any, place: _Place) -> Model:
    if not NAME.fullmatch(key) or key == AUTO:
        raise place.error("no name for a model: letters, digits and . _ + = ~ - only, a letter or digit first")
    data = _checked(entry, MODEL_FIELDS, {}, place)
    _check_architecture(data, place)
    for name in (*SIZES, "rope_theta", "rms_norm_eps"):
        _check_positive(data[name], place.at(name))
    _check_possible(data["layers"], MOST_LAYERS, place.at("layers"))
    _check_heads(data, place)
    _check_rope(data["rope_scaling"], place.at("rope_scaling"))
    shape = ModelShape(**{name: data[name] for name in SHAPE_FIELDS})
    checkpoints = _checkpoints(data["checkpoints"], place.at("checkpoints"))
    return Model(key, data["name"], shape, data["source"], checkpoints)


def _check_architecture(data: Mapping[str, Any], place: _Place) -> None:
    kind = data["model_type"]
    if kind not in ARCHITECTURES:
        allowed = ", ".join(ARCHITECTURES)
        near = suggestion(kind, ARCHITECTURES)
        raise place.at("model_type").error(f"{kind!r} is none that the gate was tried on (allowed: {allowed}){near}")
    if data["qkv_bias"] != ARCHITECTURES[kind]:
        raise place.at("qkv_bias").error(f"a {kind} has {'' if ARCHITECTURES[kind] else 'no '}biases at q, k and v")


def _check_positive(value: float, place: _Place) -> None:
    if not 0 < value < math.inf:  # no comparison holds for what is no number
        raise place.error(f"{yamlfile.shown(value)} is not a positive number")
    _check_possible(value, LARGEST, place)


def _check_possible(value: float, limit: int, place: _Place) -> None:
    """Raises BadValue for a slip of the keyboard, which would fill the memory or overflow a float."""
    if value > limit:
        raise place.error(f"{yamlfile.shown(value)} is more than there can be (at most {limit})")


def _check_heads(data: Mapping[str, Any], place: _Place) -> None:
    hidden, heads, kv_heads, head_dim = (data[name] for name in ("hidden", "heads", "kv_heads", "head_dim"))
    if hidden % heads:
        raise place.at("hidden").error(f"{hidden} is no multiple of {heads} heads")
    if heads % kv_heads:
        raise place.at("kv_heads").error(f"{heads} heads cannot share {kv_heads} KV heads evenly")
    if head_dim % 2:
        raise place.at("head_dim").error(f"{head_dim} is odd, and a rotary embedding turns pairs")


def _check_rope(scaling: dict[str, Any] | None, place: _Place) -> None:
    if scaling is None:
        return
    if "rope_type" not in scaling and "type" in scaling:
        raise place.at("type").error("an older name: write rope_type")
    if scaling.get("rope_type") != ROPE_TYPE:
        kind = yamlfile.shown(scaling.get("rope_type"))
        raise place.at("rope_type").error(f"{kind} is not one that the gate knows (allowed: {ROPE_TYPE}, or null)")
    _checked(scaling, {"rope_type": "str", **dict.fromkeys(ROPE_NUMBERS, "float")}, {}, place)
    for name in ROPE_NUMBERS:
        _check_positive(scaling[name], place.at(name))
    if scaling["high_freq_factor"] <= scaling["low_freq_factor"]:
        raise place.at("high_freq_factor").error("not above low_freq_factor")


def _checkpoints(data: dict[str, Any], place: _Place) -> dict[str, HubCheckpoint]:
    quants = registry.format_names()
    for quant in data:
        if quant not in quants:
            raise place.at(str(quant)).error(f"no quant (allowed: {', '.join(quants)}){suggestion(str(quant), quants)}")
    return {quant: _checkpoint(entry, place.at(quant)) for quant, entry in data.items()}


def _checkpoint(entry: Any, place: _Place) -> HubCheckpoint:
    checkpoint = HubCheckpoint(**_checked(entry, CHECKPOINT_FIELDS, {"note": "str | None"}, place))
    revision = checkpoint.revision
    if revision is not None and not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise place.at("revision").error(f"{revision!r} is not a commit (40 hexadecimal digits): a branch moves")
    return checkpoint


def _checked(entry: Any, needed: Mapping[str, Any], extras: Mapping[str, Any], place: _Place) -> dict[str, Any]:
    """The entry, when it has every needed field, no unknown one, and each of its kind."""
    if not isinstance(entry, dict):
        raise place.error(f"must be a mapping with the fields {', '.join(needed)}")
    allowed = {**needed, **extras}
    for name in entry:
        if name not in allowed:
            near = _field_meant(str(name), [field for field in allowed if field not in entry])
            raise place.at(str(name)).error(f"unknown field (allowed: {', '.join(allowed)}){near}")
    for name in needed:
        if name not in entry:
            raise place.at(name).error("missing")
    for name, value in entry.items():
        _check_kind(value, str(allowed[name]), place.at(name))
    return entry


def _field_meant(name: str, left: Collection[str]) -> str:
    """The nearest of the fields that are not there yet; a config.json's word stands for the catalogue's."""
    return suggestion(CONFIG_WORDS.get(name, name), left)


def _check_kind(value: Any, kind: str, place: _Place) -> None:
    kinds = tuple(single for part in kind.split(" | ") for single in KINDS[part])
    # YAML's true is a Python int: only a field that asks for a truth value may hold one
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        words = " or ".join(KIND_WORDS[part] for part in kind.split(" | "))
        raise place.error(f"{yamlfile.shown(value)} is not {words}{_to_write(value, kinds)}")


def _to_write(value: Any, kinds: tuple[type, ...]) -> str:
    """Says what to write for a number in quotes, or of a whole one with a point, and for text that YAML takes for
    something else; nothing for all else."""
    if str in kinds and not isinstance(value, dict | list):
        return ": write it in quotes"
    try:
        number = float(value) if isinstance(value, str | float) else math.nan
    except ValueError:
        return ""
    if int not in kinds or not math.isfinite(number) or (float not in kinds and not number.is_integer()):
        return ""
    return f": write {int(number)}" if float not in kinds else f": write {_yaml_float(number)}"


def _yaml_float(number: float) -> str:
    """A number as every version of YAML reads it: 1.0e-5, where 1.1 takes 1e-5 for text."""
    mantissa, exponent, digits = repr(number).partition("e")
    point = "" if "." in mantissa else ".0"
    return f"{mantissa}{point}" + (f"e{int(digits):+d}" if exponent else "")
