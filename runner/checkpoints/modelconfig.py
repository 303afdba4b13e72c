"""A checkpoint's config.json, as transformers reads it, and its differences from a shape.

The parent does not import transformers, so the defaults of its configuration classes are data here. A test compares
them with transformers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.cell.shape import CONFIG_NAMES, ModelShape
from runner.checkpoints import impostors, instead
from runner.errors import BadCheckpoint
from runner.files import jsontext, plainfile

NAME = "config.json"
AGAIN = "fetch it again, or save it as a JSON object in UTF-8 without a byte order mark"
COMMON: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
}
# transformers' defaults of missing fields. A field that is not listed has no effect on the model type.
DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {
        **COMMON,
        "intermediate_size": 11008,
        "num_key_value_heads": None,
        "max_position_embeddings": 2048,
        "attention_bias": False,
        "mlp_bias": False,
        "head_dim": None,
    },
    "mistral": {
        **COMMON,
        "intermediate_size": 14336,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
        "head_dim": None,
    },
    "qwen2": {
        **COMMON,
        "vocab_size": 151936,
        "intermediate_size": 22016,
        "num_key_value_heads": 32,
        "max_position_embeddings": 32768,
        "sliding_window": 4096,
        "use_sliding_window": False,
        "max_window_layers": 28,
        "layer_types": None,
    },
}
# Fields that may be null; transformers rejects null in any other.
NULLABLE = {
    "llama": ("num_key_value_heads", "head_dim"),
    "mistral": ("head_dim", "sliding_window"),
    "qwen2": ("num_key_value_heads", "sliding_window", "layer_types"),
}
KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number with a point or an exponent",
    str: "a word",
    list: "a list",
}
# types of the fields whose default is null
EMPTY_KINDS = {"num_key_value_heads": int, "head_dim": int, "layer_types": list}
ROPE_THETA = 10000.0
ROPE_TYPE = "default"
SLIDING, LAYER_KINDS = "sliding_attention", ("full_attention", "sliding_attention")
PRETRAINED_POSITIONS = "original_max_position_embeddings"
ROPE_WITH_POSITIONS = ("llama3", "yarn", "longrope")
LLAMA3_FIELDS = ("rope_type", "factor", "low_freq_factor", "high_freq_factor", PRETRAINED_POSITIONS)
# fields for layers that differ, another weight file, renamed fields, merged modules, and a model inside another one
UNREAD = (
    "per_layer_config",
    "transformers_weights",
    "attribute_map",
    "fusion_config",
    "text_config",
    "text_encoder",
    "decoder",
    "generator",
    "num_kv_shared_layers",
)
CHUNK = "attention_chunk_size"  # sets transformers' cache if there are no layer_types
SILU = ("silu", "swish")  # two names of one function
HEADS = ("ForCausalLM", "Model")  # a model saved without its head ends in Model
SHOWN_CHARACTERS = 200  # characters
RELATIVE = 1e-6  # for a float that was stored as float32


@dataclass(frozen=True)
class Config:
    """A config.json of a known model type, with the defaults of missing fields."""

    written: Mapping[str, Any]
    model_type: str

    def __getitem__(self, name: str) -> Any:
        """Returns a field's value. Raises ValueError for a value that transformers rejects."""
        if name not in self.written:
            return DEFAULTS[self.model_type].get(name)
        value, default = self.written[name], DEFAULTS[self.model_type].get(name)
        if value is None and name in NULLABLE[self.model_type]:
            return None
        kind = EMPTY_KINDS.get(name) if default is None else type(default)
        if kind is not None and type(value) is not kind:
            raise ValueError(f"{name} is {as_text(value)}, expected {KINDS[kind]}")
        return value

    def has(self, name: str) -> bool:
        """Returns whether models of this type use the field."""
        return name in DEFAULTS[self.model_type]

    def origin(self, name: str) -> str:
        """Returns a remark that a field was left out and has its model type's default; "" if it was written."""
        return "" if name in self.written else f" (left out: the default of {self.model_type})"

    @property
    def kv_heads(self) -> int:
        """Returns the number of key and value heads, by default that of the query heads."""
        value = self["num_key_value_heads"]
        return int(self["num_attention_heads"] if value is None else value)

    @property
    def head_dim(self) -> Any:
        """Returns the head dimension. If missing or null, it is hidden size / heads; null stays null in a type without
        the field."""
        if "head_dim" not in self.written or (self.has("head_dim") and self["head_dim"] is None):
            return self["hidden_size"] // self["num_attention_heads"]
        return self.written["head_dim"]

    @property
    def window(self) -> int | None:
        """Returns the width of the sliding attention window, or None if all layers attend to all tokens."""
        width = self["sliding_window"]
        return width if width is not None and self._slides() else None

    def _slides(self) -> bool:
        """Returns whether any layer has a sliding window.

        Qwen2's window is off by default, and applies after the first layers. All layers of a Mistral have one, unless
        listed in `layer_types`, and so does a Llama's cache.
        """
        if self.has("use_sliding_window") and not self["use_sliding_window"]:
            return False
        if (kinds := self.written.get("layer_types")) is not None:
            return SLIDING in kinds
        return not self.has("max_window_layers") or self["max_window_layers"] < self["num_hidden_layers"]

    @property
    def rope(self) -> dict[str, Any]:
        """Returns `rope_type`, `rope_theta` and the type's other parameters.

        transformers 5 writes `rope_parameters`, older versions `rope_theta` and `rope_scaling`.
        """
        parameters = self.written.get("rope_scaling") or self.written.get("rope_parameters") or {}
        is_by_layer = self.has("layer_types") and any(kind in parameters for kind in LAYER_KINDS)
        if not isinstance(parameters, dict) or is_by_layer:
            raise ValueError(f"rope_scaling is {as_text(parameters)}, expected one set of parameters for all layers")
        theta = self.written.get("rope_theta", ROPE_THETA)
        rope = {"rope_type": parameters.get("type", ROPE_TYPE), "rope_theta": theta, **parameters}
        if rope["rope_type"] in ROPE_WITH_POSITIONS:
            rope.setdefault(PRETRAINED_POSITIONS, self["max_position_embeddings"])
            rope |= {name: self.written[name] for name in (PRETRAINED_POSITIONS,) if name in self.written}
        return rope

    @property
    def rope_scaling(self) -> dict[str, Any] | None:
        """Returns the scaling of the rotary frequencies, or None if there is none."""
        rope = {name: value for name, value in self.rope.items() if name not in ("type", "rope_theta")}
        if rope["rope_type"] == ROPE_TYPE:
            return None
        part = rope.pop("partial_rotary_factor", self.written.get("partial_rotary_factor"))
        if rope["rope_type"] == "llama3":
            rope = {name: value for name, value in rope.items() if name in LLAMA3_FIELDS}
        if part not in (None, 1):
            return rope | {"partial_rotary_factor": part}
        return None if rope["rope_type"] == "linear" and rope.get("factor") == 1 else rope


def read(folder: Path, name: str) -> dict[str, Any]:
    """Returns the config.json of a folder. Raises BadCheckpoint, which calls the folder `name`, if there is none."""
    if not folder.is_dir():
        obstacle = "a file: give the folder that it is in" if folder.exists() else "no such folder"
        raise BadCheckpoint(f"{name}: {obstacle}")
    try:
        config = jsontext.loads(plainfile.read(folder / NAME).decode())
    except FileNotFoundError as error:
        missing = f"no {NAME} in that folder: {instead.remedy(folder)}{impostors.unfinished(folder)}"
        raise BadCheckpoint(f"{name}: {impostors.broken_link(folder / NAME) or missing}") from error
    except ValueError as error:
        unreadable = f"{NAME} cannot be read ({error}): {AGAIN}"
        raise BadCheckpoint(f"{name}: {impostors.description(folder / NAME) or unreadable}") from error
    if not isinstance(config, dict):
        not_an_object = f"{NAME} is not a JSON object: {AGAIN}"
        raise BadCheckpoint(f"{name}: {impostors.description(folder / NAME) or not_an_object}")
    if "model_type" not in config and (impostor := impostors.description(folder / NAME)):
        raise BadCheckpoint(f"{name}: {impostor}")
    return config


def config_of(shape: ModelShape) -> dict[str, Any]:
    """Returns a config.json of this model in the form of transformers 4, which all versions read."""
    values = shape.to_json()
    return {
        **{theirs: values[ours] for theirs, ours in CONFIG_NAMES.items()},
        "architectures": [f"{shape.model_type.capitalize()}ForCausalLM"],
        "hidden_act": "silu",
        "max_position_embeddings": shape.max_positions,
        "rope_theta": shape.rope_theta,
        "rope_scaling": shape.rope_scaling,
        "sliding_window": None,
        "torch_dtype": "float16",
    }


def differences(config: Mapping[str, Any], shape: ModelShape) -> Iterator[str]:
    """Yields a clause for each field in which the config.json's model differs from the shape.

    Raises ValueError for a value that transformers rejects.
    """
    model_type = config.get("model_type")
    if model_type != shape.model_type:
        yield f"model_type is {as_text(model_type)}, expected {shape.model_type}"
        return  # another type has other defaults
    made = Config(config, shape.model_type)
    yield from _size_differences(made, shape)
    yield from _rope_differences(made, shape)
    yield from _layer_differences(made, shape)
    yield from _position_differences(made, shape)


def same(actual: Any, expected: Any) -> bool:
    """Returns whether two values are equal. Floats are compared with float32 precision."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return actual.keys() == expected.keys() and all(same(actual[name], expected[name]) for name in expected)
    numbers = [value for value in (actual, expected) if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == 2 and float in map(type, numbers):
        return math.isclose(actual, expected, rel_tol=RELATIVE)
    return bool(actual == expected)


def as_text(value: Any) -> str:
    """Returns a value as text for one line, truncated; ambiguous text is quoted."""
    text = repr(value) if isinstance(value, str) and not value.isidentifier() else str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _size_differences(config: Config, shape: ModelShape) -> Iterator[str]:
    expected = shape.to_json()
    derived = {"head_dim": config.head_dim, "num_key_value_heads": config.kv_heads}
    for theirs, ours in CONFIG_NAMES.items():
        actual = derived[theirs] if theirs in derived else config[theirs]
        if not same(actual, expected[ours]):
            yield f"{theirs} is {as_text(actual)}{config.origin(theirs)}, expected {expected[ours]}"


def _rope_differences(config: Config, shape: ModelShape) -> Iterator[str]:
    theta, scaling = config.rope["rope_theta"], config.rope_scaling
    if not same(theta, shape.rope_theta):
        left_out = config.origin("rope_theta") if theta == ROPE_THETA else ""
        yield f"rope_theta is {as_text(theta)}{left_out}, expected {shape.rope_theta}"
    if not same(scaling, shape.rope_scaling):
        yield f"rope_scaling is {scaling}, expected {shape.rope_scaling}"


def _layer_differences(config: Config, shape: ModelShape) -> Iterator[str]:
    """Yields differences in fields that all models of the catalogue share, and that a shape does not store."""
    heads = config.written.get("architectures") or []
    if heads and not any(str(head).endswith(HEADS) for head in heads):
        yield f"architectures is {heads}, expected a …ForCausalLM"
    if config["hidden_act"] not in SILU:
        yield f"hidden_act is {as_text(config['hidden_act'])}, expected silu"
    for name, value in {"attention_bias": shape.qkv_bias, "mlp_bias": False}.items():
        if config.has(name) and config[name] != value:
            yield f"{name} is {config[name]}{config.origin(name)}, expected {value}"
    kinds = config.written.get("layer_types")
    if kinds is not None and len(kinds) != shape.layers:
        yield f"layer_types has {len(kinds)} entries, expected {shape.layers}"
    if unknown_kinds := [kind for kind in kinds or () if kind not in LAYER_KINDS]:
        yield f"layer_types has {as_text(unknown_kinds[0])}, expected {LAYER_KINDS[0]}"
    if kinds is None and not config.has("layer_types") and config.written.get(CHUNK) is not None:
        yield f"{CHUNK} is {as_text(config.written[CHUNK])}, expected none"
    if not config.written.get("is_causal", True):
        yield f"is_causal is {as_text(config.written['is_causal'])}, expected true: tokens would attend to later ones"
    for name in UNREAD:
        if config.written.get(name):
            yield f"{name} is {as_text(config.written[name])}, expected none"


def _position_differences(config: Config, shape: ModelShape) -> Iterator[str]:
    positions = config["max_position_embeddings"]
    # a missing value is no limit: only the scaling of the rotary embedding uses it
    if "max_position_embeddings" in config.written and positions < shape.max_positions:
        yield f"max_position_embeddings is {positions}, expected at least {shape.max_positions}"
    if config.window is not None and config.window < shape.max_positions:
        yield f"sliding_window is {config.window}, expected none below {shape.max_positions} positions"
