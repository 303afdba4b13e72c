"""Rules for a catalogue model's shape: its dimensions fit together, and the gate supports its rope scaling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.cell.entryfields import Place, check_positive, check_possible, checked
from runner.cell.fieldtypes import Positive, Size
from runner.cell.jsonform import hints
from runner.cell.shape import ModelShape
from runner.files import yamlfile

ROPE_TYPE = "llama3"  # the only scaling that the gate's reference computes
COPY = "copy the model's shape from its config.json"
MOST_LAYERS = 10**4  # far above any model's
POSITIVE = tuple(name for name, hint in hints(ModelShape).items() if hint in (Size, Positive))


@dataclass(frozen=True)
class RopeScaling:
    """A model's rope_scaling."""

    rope_type: str
    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: float


def check(shape: ModelShape, place: Place) -> None:
    """Raises BadValue that names the field, for a shape that cannot be measured or that no model has."""
    for name in POSITIVE:
        check_positive(getattr(shape, name), place.at(name))
    check_possible(shape.layers, MOST_LAYERS, place.at("layers"))
    _check_heads(shape, place)
    if shape.rope_scaling is not None:
        _check_rope(shape.rope_scaling, place.at("rope_scaling"))


def _check_heads(shape: ModelShape, place: Place) -> None:
    if shape.hidden % shape.heads:
        raise place.at("hidden").error(f"{shape.hidden} is not a multiple of {shape.heads} heads: {COPY}")
    if shape.heads % shape.kv_heads:
        raise place.at("kv_heads").error(f"{shape.heads} heads cannot share {shape.kv_heads} KV heads evenly: {COPY}")
    if shape.head_dim % 2:
        raise place.at("head_dim").error(f"{shape.head_dim} is odd, but a rotary embedding needs pairs: {COPY}")


def _check_rope(entry: Mapping[str, Any], place: Place) -> None:
    if "rope_type" not in entry and "type" in entry:
        raise place.at("type").error("an older name: write rope_type")
    if entry.get("rope_type") != ROPE_TYPE:
        kind = yamlfile.yaml_text(entry.get("rope_type"))
        raise place.at("rope_type").error(
            f"{kind} is not supported, only {ROPE_TYPE}: choose another model; "
            "if its config.json scales nothing, write rope_scaling: null"
        )
    scaling = RopeScaling(**checked(RopeScaling, entry, place))
    for name, hint in hints(RopeScaling).items():
        if hint is float:
            check_positive(getattr(scaling, name), place.at(name))
    if scaling.high_freq_factor <= scaling.low_freq_factor:
        raise place.at("high_freq_factor").error(f"not above low_freq_factor: {COPY}")
