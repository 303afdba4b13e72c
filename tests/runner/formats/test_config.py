"""Checks that every format makes of a checkpoint's quantization_config: booleans, and lists of unquantised modules."""

import pytest

from runner import registry
from runner.cell.scheme import Scheme
from runner.errors import BadCheckpoint
from runner.formats import _config, awq, bnb_nf4, gptq
from tests.support.packed_formats import INT4_CONFIG, NF4_CONFIG, NF4_SINGLE


@pytest.mark.parametrize(
    ("quant", "config", "said"),
    [
        (
            "bnb-nf4",
            {**NF4_CONFIG, "llm_int8_skip_modules": ["lm_head", "model.layers.0.mlp", "model.layers.3"]},
            "its llm_int8_skip_modules leave model.layers.0.mlp, model.layers.3 in 16 bits",
        ),
        ("bnb-nf4", {**NF4_CONFIG, "llm_int8_skip_modules": ["o_proj"]}, "leave o_proj in 16 bits"),
        (
            "awq",
            {**INT4_CONFIG, "modules_to_not_convert": ["self_attn"]},
            "its modules_to_not_convert leave self_attn in 16",
        ),
        (
            "gptq",
            {**INT4_CONFIG, "modules_to_not_convert": ["layers.1.mlp.up_proj"]},
            "leave layers.1.mlp.up_proj in 16 bits",
        ),
        (
            "gptq",
            {
                **INT4_CONFIG,
                "modules_in_block_to_quantize": [["self_attn.q_proj", "self_attn.k_proj"], ["mlp.up_proj"]],
            },
            "its modules_in_block_to_quantize leave self_attn.v_proj, self_attn.o_proj, mlp.gate_proj, … in 16 bits",
        ),
        ("gptq", {**INT4_CONFIG, "dynamic": {"-:lm_head": {}}}, "its quantization_config is dynamic"),
    ],
)
def test_layers_that_were_left_unquantised_are_refused_by_name(quant, config, said):
    with pytest.raises(BadCheckpoint) as caught:
        registry.packed_format(quant).read_config(config)
    assert said in str(caught.value)
    assert str(caught.value).endswith(": layers of different kinds are not supported")


@pytest.mark.parametrize("names", [None, [], ["lm_head"], ["embed_tokens", "visual", "mlp.gate", "model.norm"]])
def test_what_is_never_packed_or_not_in_the_model_may_be_left_out(names):
    assert awq.read_config({**INT4_CONFIG, "modules_to_not_convert": names}) == Scheme(128)
    assert bnb_nf4.read_config({**NF4_CONFIG, "llm_int8_skip_modules": names}) == NF4_SINGLE
    every = [["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], ["self_attn.o_proj"]]
    every += [["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]]
    gptq.read_config({**INT4_CONFIG, "modules_to_not_convert": names, "modules_in_block_to_quantize": every})


@pytest.mark.parametrize("names", ["lm_head", {"lm_head": True}, [1]])
def test_a_list_of_modules_that_is_none_is_refused(names):
    with pytest.raises(BadCheckpoint, match="its modules_to_not_convert is not a list of names"):
        awq.read_config({**INT4_CONFIG, "modules_to_not_convert": names})


@pytest.mark.parametrize(("config", "expected"), [({"sym": True}, True), ({"sym": False}, False), ({}, True)])
def test_a_boolean_is_the_configs_own_or_the_default_where_it_is_absent(config, expected):
    assert _config.boolean(config, "sym", missing=True) is expected
    assert _config.boolean({}, "sym") is False


@pytest.mark.parametrize("value", ["false", 0, 1, None, []])
def test_whatever_is_no_boolean_is_refused_with_its_value(value):
    """To Python the text "false" is true, and a null is not the default."""
    with pytest.raises(BadCheckpoint) as caught:
        _config.boolean({"sym": value}, "sym", missing=True)
    assert str(caught.value) == f"its sym is {value!r}, neither true nor false"


def test_names_are_those_of_a_list_and_of_the_lists_in_it():
    assert _config.module_names({"names": ["a", ["b", "c"], "d"]}, "names") == ["a", "b", "c", "d"]
    assert _config.module_names({"names": None}, "names") == _config.module_names({}, "names") == []
    with pytest.raises(BadCheckpoint, match="its names is not a list of names"):
        _config.module_names({"names": ["a", [["b"]]]}, "names")


@pytest.mark.parametrize(
    ("name", "is_in_layers"),
    [
        ("mlp", True),
        ("model.layers.17", True),
        ("layers.0.self_attn.q_proj", True),
        (".mlp.up_proj.", True),
        ("mlp.gate", False),  # a router of experts, not gate_proj
        ("proj", False),  # the end of a part is no part
        ("layers.17.mlp.q_proj", False),  # of two modules
        ("model.layers.x", False),
    ],
)
def test_a_name_is_in_the_layers_where_its_parts_are_in_sequence_there(name, is_in_layers):
    config = {"modules_to_not_convert": [name]}
    if is_in_layers:
        with pytest.raises(BadCheckpoint, match="leave"):
            _config.check_uniform(config)
    else:
        _config.check_uniform(config)
