"""Holds the parent's reading of config.json against transformers' own classes over many generated ones."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.cell import catalogue
from runner.cell.shape import CONFIG_NAMES, ModelShape
from runner.checkpoints import modelconfig
from tests.support.checkpoints import CONFIG, SHAPE

torch = pytest.importorskip("torch")
from huggingface_hub.errors import StrictDataclassError  # noqa: E402 (only where torch is)
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402 (only where torch is)

TYPES = tuple(modelconfig.DEFAULTS)
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 1024,
}
BASE: dict[str, Any] = {
    **{name: CONFIG[name] for name in CONFIG_NAMES if name in CONFIG and name != "model_type"},
    "head_dim": 64,
    "hidden_act": "silu",
    "max_position_embeddings": 4096,
    "rope_theta": 500000.0,
    "rope_scaling": None,
    "attention_bias": False,
    "mlp_bias": False,
    "sliding_window": 4096,
    "use_sliding_window": False,
    "max_window_layers": 1,
    "architectures": None,
}
ROPES: tuple[dict[str, Any], ...] = (
    {"rope_scaling": {}},
    {"rope_scaling": LLAMA3},
    {"rope_parameters": LLAMA3 | {"rope_theta": 2000.0}},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
    {"rope_parameters": {"rope_type": "default"}},
    {"rope_parameters": {"rope_theta": 1e6}},
    {"rope_parameters": None},
    {"rope_parameters": {"rope_theta": 7.0}, "rope_scaling": LLAMA3},  # the older name goes first
    {"rope_scaling": {name: LLAMA3[name] for name in LLAMA3 if name != "original_max_position_embeddings"}},
    {"rope_scaling": LLAMA3, "original_max_position_embeddings": 2048},
    {"rope_scaling": {"type": "default"}},
    {"rope_scaling": {"type": "linear", "factor": 2.0}},
    {"rope_scaling": {"type": "linear", "factor": 1.0}},
    {"rope_scaling": {"type": "linear", "factor": 1}},
    {"rope_scaling": {"type": "linear", "factor": 1.0, "partial_rotary_factor": 0.5}},
    {"rope_parameters": {"rope_type": "linear", "factor": 1.0, "rope_theta": 1e6}},
    {"rope_scaling": {"type": "linear"}},
    {"rope_scaling": {"type": "linear", "rope_type": "default", "factor": 2.0}},
    {"rope_scaling": {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 2048}},
    {"rope_scaling": LLAMA3, "partial_rotary_factor": 0.5},
    {"rope_scaling": LLAMA3, "partial_rotary_factor": 1.0},
    {"partial_rotary_factor": 0.5},
    {"rope_theta": None},
    {"rope_theta": "1e6"},
    {"rope_theta": 1000000},
    {"rope_scaling": "yarn"},
    {"rope_scaling": {"full_attention": {"rope_theta": 1.0}}},
)
OTHERS: tuple[dict[str, Any], ...] = (
    {},
    {"hidden_size": "128"},
    {"vocab_size": 512.0},
    {"num_hidden_layers": True},
    {"rms_norm_eps": 1},
    {"rms_norm_eps": "1e-6"},
    {"rms_norm_eps": 9.999999747378752e-06},
    {"tie_word_embeddings": True},
    {"tie_word_embeddings": 1},
    {"tie_word_embeddings": "true"},
    {"num_key_value_heads": "2"},
    {"hidden_act": "swish"},
    {"hidden_act": "gelu"},
    {"sliding_window": 512},
    {"sliding_window": 512, "use_sliding_window": True},
    {"sliding_window": 512, "use_sliding_window": True, "max_window_layers": 2},
    {"sliding_window": None, "use_sliding_window": True},
    {"sliding_window": 8192, "use_sliding_window": True},
    {"sliding_window": 512, "use_sliding_window": True, "layer_types": ["full_attention"] * 2},
    {"sliding_window": 512, "use_sliding_window": True, "layer_types": ["full_attention", "sliding_attention"]},
    {"sliding_window": 512, "layer_types": ["full_attention", "sliding_attention"]},
    {"layer_types": ["full_attention"]},
    {"attention_bias": True},
    {"mlp_bias": True},
)


def changes() -> Iterator[dict[str, Any]]:
    """Each field left out, each null, and forms that people's files have."""
    for name in BASE:
        yield {name: dataclasses.MISSING}
        yield {name: None}
    yield from ROPES
    yield from ({"rope_theta": dataclasses.MISSING, **change} for change in ROPES if "rope_theta" not in change)
    yield from OTHERS


def config(model_type: str, change: dict[str, Any]) -> dict[str, Any]:
    made = {"model_type": model_type, **BASE, **change}
    return {name: value for name, value in made.items() if value is not dataclasses.MISSING}


def theirs(folder: Path, written: dict[str, Any]) -> Any:
    """The model that transformers makes of a config.json, None where it makes none."""
    (folder / "config.json").write_text(json.dumps(written))
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
        type(model.model.rotary_emb)(model.config)  # on the meta device it computes nothing, and refuses nothing
    except (TypeError, ValueError, KeyError, AttributeError, StrictDataclassError):
        return None
    return model


def shape_of(model: Any, qkv_bias: bool) -> ModelShape:
    """Returns the shape that a model of transformers computes."""
    made, layer = model.config, model.model.layers[0]
    rope = dict(made.rope_parameters)
    scaling = {name: value for name, value in rope.items() if name not in ("rope_theta", "type")}
    if scaling.get("partial_rotary_factor") == 1.0:
        del scaling["partial_rotary_factor"]
    is_scaled = rope["rope_type"] != "default" and scaling != {"rope_type": "linear", "factor": 1}
    return ModelShape(
        model_type=made.model_type.replace("ministral", "mistral"),
        layers=len(model.model.layers),
        hidden=model.model.embed_tokens.embedding_dim,
        heads=layer.self_attn.q_proj.out_features // layer.self_attn.head_dim,
        kv_heads=layer.self_attn.k_proj.out_features // layer.self_attn.head_dim,
        head_dim=layer.self_attn.head_dim,
        intermediate=layer.mlp.up_proj.out_features,
        vocab=model.model.embed_tokens.num_embeddings,
        tied_embedding=made.tie_word_embeddings,
        qkv_bias=qkv_bias,
        rope_theta=rope["rope_theta"],
        rope_scaling=scaling if is_scaled else None,
        rms_norm_eps=layer.input_layernorm.variance_epsilon,
        max_positions=made.max_position_embeddings,
    )


def oddities(model: Any) -> list[str]:
    """Returns what no shape can say: another activation, more biases, a window, another way of rotating."""
    made, layer = model.config, model.model.layers[0]
    kinds = getattr(made, "layer_types", None) or ["sliding_attention"] * made.num_hidden_layers
    has_windows = getattr(made, "sliding_window", None) is not None  # a llama's is its cache's
    windowed = has_windows and "sliding_attention" in kinds and made.sliding_window < made.max_position_embeddings
    found = {
        "activation": type(layer.mlp.act_fn).__name__ not in ("SiLUActivation", "SiLU"),
        "biases": layer.self_attn.o_proj.bias is not None or layer.mlp.up_proj.bias is not None,
        "window": windowed,
    }
    return [name for name, there in found.items() if there]


@pytest.mark.medium
@pytest.mark.parametrize("model_type", TYPES)
def test_every_config_is_read_as_transformers_reads_it(model_type: str, tmp_path: Path) -> None:
    """A config that transformers refuses is refused; any other is exactly the shape of the model it makes."""
    wrong, accepted = [], 0
    for change in changes():
        written = config(model_type, change)
        model = theirs(tmp_path, written)
        if model is None:
            if not refused(written, replace(SHAPE, model_type=model_type)):
                wrong.append((change, "transformers refuses it"))
            continue
        right = shape_of(model, qkv_bias=model_type == "qwen2")
        said = list(modelconfig.differences(written, right))
        accepted += not said
        if bool(said) != bool(oddities(model)):
            wrong.append((change, said or oddities(model)))
        if not said and not refused(written, replace(right, rope_theta=right.rope_theta * 1.01)):
            wrong.append((change, "another rope_theta is not seen"))
    assert wrong == []
    assert accepted > 40


def refused(written: dict[str, Any], shape: ModelShape) -> bool:
    try:
        return bool(list(modelconfig.differences(written, shape)))
    except (TypeError, ValueError):
        return True


@pytest.mark.parametrize("model_type", TYPES)
def test_defaults_are_those_of_transformers_classes(model_type: str) -> None:
    theirs = type(AutoConfig.for_model(model_type))
    fields = {field.name: field for field in dataclasses.fields(theirs)}
    for name, value in modelconfig.DEFAULTS[model_type].items():
        assert fields[name].default == value, name
        assert type(fields[name].default) is type(value), name
    assert theirs.default_theta == modelconfig.ROPE_THETA
    # a field of theirs that could change what a step computes is one of ours
    others = {field.name for field in dataclasses.fields(theirs) if field.name not in modelconfig.DEFAULTS[model_type]}
    assert others & BASE.keys() - {"architectures"} == set()


@pytest.mark.parametrize("model_type", TYPES)
def test_null_is_a_value_where_transformers_says_so(model_type: str) -> None:
    kinds = {field.name: field.type for field in dataclasses.fields(type(AutoConfig.for_model(model_type)))}
    found = {name for name in modelconfig.DEFAULTS[model_type] if types.NoneType in typing.get_args(kinds[name])}
    assert found == set(modelconfig.NULLABLE[model_type])


@pytest.mark.parametrize(
    ("field", "written", "right"),
    [
        ("rms_norm_eps", 9.999999747378752e-06, 1e-5),
        ("rms_norm_eps", 9.999999974752427e-07, 1e-6),
        ("rope_theta", 1000000, 1000000.0),
        ("rope_theta", 999999.9999, 1000000.0),
    ],
)
def test_a_float_that_went_through_float32_is_itself(field: str, written: float, right: float) -> None:
    shape = replace(SHAPE, **{field: right})
    assert list(modelconfig.differences({**CONFIG, field: written}, shape)) == []
    other = list(modelconfig.differences({**CONFIG, field: right * (1 + 1e-5)}, shape))
    assert len(other) == 1


@pytest.mark.parametrize("place", ["rope_scaling", "rope_parameters"])
def test_floats_of_the_rotary_embedding_too(place: str) -> None:
    shape = catalogue.models()["llama-3.1-8b"].shape
    scaling = {**(shape.rope_scaling or {}), "factor": 8.000000001, "rope_theta": 500000, "low_freq_factor": 1}
    written = {**modelconfig.config_of(shape), place: scaling}
    if place == "rope_parameters":
        del written["rope_scaling"], written["rope_theta"]
    assert list(modelconfig.differences(written, shape)) == []
    (said,) = modelconfig.differences({**written, place: {**scaling, "factor": 8.001}}, shape)
    assert said.startswith("rope_scaling is ")


def test_a_line_says_what_nobody_wrote() -> None:
    written = {name: value for name, value in CONFIG.items() if name not in ("num_key_value_heads", "rope_theta")}
    shape = replace(SHAPE, rope_theta=1e6)
    assert list(modelconfig.differences(written, shape)) == [
        "num_key_value_heads is 32 (left out: the default of qwen2), expected 2",
        "rope_theta is 10000.0 (left out: the default of qwen2), expected 1000000.0",
    ]


@pytest.mark.parametrize("key", [key for key, model in catalogue.models().items()])
def test_a_shape_written_as_a_config_is_that_shape(key: str) -> None:
    shape = catalogue.models()[key].shape
    assert list(modelconfig.differences(modelconfig.config_of(shape), shape)) == []
