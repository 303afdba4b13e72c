"""A checkpoint's config.json: what transformers makes of it, and where that differs from a shape.

The parent has no transformers, so what its configuration classes take where a field is left out is data here; a test
holds it equal to them.
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
# Defaults of transformers for a field that is left out; a field that a model type lacks has no effect on it.
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
# Fields for which null is a value; null in any other is an error of transformers.
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
EMPTY_KINDS = {"num_key_value_heads": int, "head_dim": int, "layer_types": list}  # of fields whose default is null
ROPE_THETA = 10000.0
ROPE_TYPE = "default"
SLIDING, LAYER_KINDS = "sliding_attention", ("full_attention", "sliding_attention")
PRETRAINED_POSITIONS = "original_max_position_embeddings"
ROPE_WITH_POSITIONS = ("llama3", "yarn", "longrope")
LLAMA3_FIELDS = ("rope_type", "factor", "low_freq_factor", "high_freq_factor", PRETRAINED_POSITIONS)
# layers that differ from each other, another weight file than the usual ones, fields under other names, modules merged
# into one, and a model within another one
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
CHUNK = "attention_chunk_size"  # of the cache that transformers makes where no layer_types tell another one
SILU = ("silu", "swish")  # two words for one function
HEADS = ("ForCausalLM", "Model")  # the last is what a model saved without its head is called
SHOWN = 200  # letters
RELATIVE = 1e-6  # a float that went through float32 is its nearest, not itself


@dataclass(frozen=True)
class Config:
    """A config.json of a known model type, with all that it leaves out."""

    written: Mapping[str, Any]
    model_type: str

    def __getitem__(self, name: str) -> Any:
        """A field's value. Raises ValueError for one that transformers refuses."""
        if name not in self.written:
            return DEFAULTS[self.model_type].get(name)
        value, default = self.written[name], DEFAULTS[self.model_type].get(name)
        if value is None and name in NULLABLE[self.model_type]:
            return None
        kind = EMPTY_KINDS.get(name) if default is None else type(default)
        if kind is not None and type(value) is not kind:
            raise ValueError(f"{name} is {shown(value)}, expected {KINDS[kind]}")
        return value

    def has(self, name: str) -> bool:
        """Does a model of this type look at the field?"""
        return name in DEFAULTS[self.model_type]

    def origin(self, name: str) -> str:
        """Returns the remark on a value that nobody wrote."""
        return "" if name in self.written else f" (left out: the default of {self.model_type})"

    @property
    def kv_heads(self) -> int:
        value = self["num_key_value_heads"]
        return int(self["num_attention_heads"] if value is None else value)

    @property
    def head_dim(self) -> Any:
        """Left out or null, the hidden size over the heads; null in a type without the field stays null."""
        if "head_dim" not in self.written or (self.has("head_dim") and self["head_dim"] is None):
            return self["hidden_size"] // self["num_attention_heads"]
        return self.written["head_dim"]

    @property
    def window(self) -> int | None:
        """The width of the attention window of some layer, None where all layers see everything."""
        width = self["sliding_window"]
        return width if width is not None and self._slides() else None

    def _slides(self) -> bool:
        """Qwen2's window is off unless it is switched on, and then for the layers behind the first few; a Mistral's
        layers all have it, unless they are listed; so has a Llama's cache."""
        if self.has("use_sliding_window") and not self["use_sliding_window"]:
            return False
        if (kinds := self.written.get("layer_types")) is not None:
            return SLIDING in kinds
        return not self.has("max_window_layers") or self["max_window_layers"] < self["num_hidden_layers"]

    @property
    def rope(self) -> dict[str, Any]:
        """`rope_type`, `rope_theta` and what else its type computes with. transformers 5 writes `rope_parameters`,
        older versions `rope_theta` and `rope_scaling`."""
        found = self.written.get("rope_scaling") or self.written.get("rope_parameters") or {}
        is_by_layer = self.has("layer_types") and any(kind in found for kind in LAYER_KINDS)
        if not isinstance(found, dict) or is_by_layer:
            raise ValueError(f"rope_scaling is {shown(found)}, expected one set of parameters for all layers")
        theta = self.written.get("rope_theta", ROPE_THETA)
        rope = {"rope_type": found.get("type", ROPE_TYPE), "rope_theta": theta, **found}
        if rope["rope_type"] in ROPE_WITH_POSITIONS:
            rope.setdefault(PRETRAINED_POSITIONS, self["max_position_embeddings"])
            rope |= {name: self.written[name] for name in (PRETRAINED_POSITIONS,) if name in self.written}
        return rope

    @property
    def rope_scaling(self) -> dict[str, Any] | None:
        """Returns what is done to the frequencies, None where nothing."""
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
    """The config.json of a folder; errors call the folder `name`. Raises BadCheckpoint where there is none."""
    if not folder.is_dir():
        what = "a file: give the folder that it is in" if folder.exists() else "no such folder"
        raise BadCheckpoint(f"{name}: {what}")
    try:
        config = jsontext.loads(plainfile.read(folder / NAME).decode())
    except FileNotFoundError as error:
        missing = f"no {NAME} in that folder: {instead.remedy(folder)}{impostors.unfinished(folder)}"
        raise BadCheckpoint(f"{name}: {impostors.lost(folder / NAME) or missing}") from error
    except ValueError as error:
        unreadable = f"{NAME} cannot be read ({error}): {AGAIN}"
        raise BadCheckpoint(f"{name}: {impostors.told(folder / NAME) or unreadable}") from error
    if not isinstance(config, dict):
        raise BadCheckpoint(f"{name}: {impostors.told(folder / NAME) or f'{NAME} is not a JSON object: {AGAIN}'}")
    if "model_type" not in config and (impostor := impostors.told(folder / NAME)):
        raise BadCheckpoint(f"{name}: {impostor}")
    return config


def config_of(shape: ModelShape) -> dict[str, Any]:
    """A config.json of this model, as transformers before version 5 wrote it: every reader knows that form."""
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
    """One clause for each field in which the model of a config.json computes something else than the shape's.

    Raises ValueError for a value that transformers refuses."""
    model_type = config.get("model_type")
    if model_type != shape.model_type:
        yield f"model_type is {shown(model_type)}, expected {shape.model_type}"
        return  # with the type the meaning of all that is left out changes
    made = Config(config, shape.model_type)
    yield from _size_differences(made, shape)
    yield from _rope_differences(made, shape)
    yield from _layer_differences(made, shape)
    yield from _position_differences(made, shape)


def same(found: Any, expected: Any) -> bool:
    """Equal, numbers with a point up to what float32 keeps of them."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return found.keys() == expected.keys() and all(same(found[name], expected[name]) for name in expected)
    numbers = [each for each in (found, expected) if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(numbers) == 2 and float in map(type, numbers):
        return math.isclose(found, expected, rel_tol=RELATIVE)
    return bool(found == expected)


def shown(value: Any) -> str:
    """A value for a line, cut where it is long: text in quotes where it could be taken for something else."""
    text = repr(value) if isinstance(value, str) and not value.isidentifier() else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _size_differences(config: Config, shape: ModelShape) -> Iterator[str]:
    expected = shape.to_json()
    derived = {"head_dim": config.head_dim, "num_key_value_heads": config.kv_heads}
    for theirs, ours in CONFIG_NAMES.items():
        found = derived[theirs] if theirs in derived else config[theirs]
        if not same(found, expected[ours]):
            yield f"{theirs} is {shown(found)}{config.origin(theirs)}, expected {expected[ours]}"


def _rope_differences(config: Config, shape: ModelShape) -> Iterator[str]:
    theta, scaling = config.rope["rope_theta"], config.rope_scaling
    if not same(theta, shape.rope_theta):
        left_out = config.origin("rope_theta") if theta == ROPE_THETA else ""
        yield f"rope_theta is {shown(theta)}{left_out}, expected {shape.rope_theta}"
    if not same(scaling, shape.rope_scaling):
        yield f"rope_scaling is {scaling}, expected {shape.rope_scaling}"


def _layer_differences(config: Config, shape: ModelShape) -> Iterator[str]:
    """Yields differences in what a shape does not hold, because all models of the catalogue have it in common."""
    heads = config.written.get("architectures") or []
    if heads and not any(str(head).endswith(HEADS) for head in heads):
        yield f"architectures is {heads}, expected a …ForCausalLM"
    if config["hidden_act"] not in SILU:
        yield f"hidden_act is {shown(config['hidden_act'])}, expected silu"
    for name, value in {"attention_bias": shape.qkv_bias, "mlp_bias": False}.items():
        if config.has(name) and config[name] != value:
            yield f"{name} is {config[name]}{config.origin(name)}, expected {value}"
    kinds = config.written.get("layer_types")
    if kinds is not None and len(kinds) != shape.layers:
        yield f"layer_types has {len(kinds)} entries, expected {shape.layers}"
    if strange := [kind for kind in kinds or () if kind not in LAYER_KINDS]:
        yield f"layer_types has {shown(strange[0])}, expected {LAYER_KINDS[0]}"
    if kinds is None and not config.has("layer_types") and config.written.get(CHUNK) is not None:
        yield f"{CHUNK} is {shown(config.written[CHUNK])}, expected none"
    if not config.written.get("is_causal", True):
        yield f"is_causal is {shown(config.written['is_causal'])}, expected true: every token would see those after it"
    for name in UNREAD:
        if config.written.get(name):
            yield f"{name} is {shown(config.written[name])}, expected none"


def _position_differences(config: Config, shape: ModelShape) -> Iterator[str]:
    positions = config["max_position_embeddings"]
    # left out, it limits nothing: no type computes anything with it but the scaling of the rotary embedding
    if "max_position_embeddings" in config.written and positions < shape.max_positions:
        yield f"max_position_embeddings is {positions}, expected at least {shape.max_positions}"
    if config.window is not None and config.window < shape.max_positions:
        yield f"sliding_window is {config.window}, expected none below {shape.max_positions} positions"
