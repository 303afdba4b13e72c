"""Widths and counts of a model follow from its dimensions."""

from __future__ import annotations

from dataclasses import replace

from runner.cell.shape import ModelShape
from tests.support.records import QWEN_7B

QWEN = ModelShape.from_json(QWEN_7B)


def test_the_seven_products_of_a_layer_by_hand() -> None:
    # 28 heads of 128 are 3584 wide, 4 KV heads 512
    assert (QWEN.q_width, QWEN.kv_width) == (3584, 512)
    q, kv, out = (3584, 3584), (512, 3584), (3584, 3584)
    gate, down = (18944, 3584), (3584, 18944)
    assert QWEN.linear_shapes == (q, kv, kv, out, gate, gate, down)


def test_the_width_of_the_heads_need_not_be_the_hidden_one() -> None:
    narrow = replace(QWEN, head_dim=64)
    # o takes 28 · 64 inputs and gives the residual's width; q does the reverse
    assert (narrow.linear_shapes[0], narrow.linear_shapes[3]) == ((1792, 3584), (3584, 1792))
    assert narrow.linear_shapes[1] == (256, 3584)


def test_parameters_beside_the_products_by_hand() -> None:
    assert QWEN.embedding_parameters == 152_064 * 3_584
    assert QWEN.bias_parameters == 3584 + 512 + 512
    assert QWEN.norm_parameters == 57 * 3584  # two in each of 28 layers, and one at the end


def test_all_parameters_are_the_models() -> None:
    products = sum(rows * columns for rows, columns in QWEN.linear_shapes)
    layers = QWEN.layers * (products + QWEN.bias_parameters)
    # Qwen2.5-7B has 7.61562e9 parameters, embedding and head apart
    assert layers + 2 * QWEN.embedding_parameters + QWEN.norm_parameters == 7_615_616_512


def test_without_biases_there_are_none() -> None:
    assert replace(QWEN, qkv_bias=False).bias_parameters == 0


def test_json_has_every_dimension() -> None:
    assert QWEN.to_json() == QWEN_7B
    assert ModelShape.from_json(QWEN.to_json()) == QWEN
