"""The packing of weights: groups that divide a layer's inputs, and the bytes of a packed tensor."""

from __future__ import annotations

import pytest

from runner.cell.scheme import DTYPE_BYTES, Part, Scheme
from runner.cell.shape import ModelShape
from tests.support.records import QWEN_7B

QWEN = ModelShape.from_json(QWEN_7B)


@pytest.mark.parametrize(
    ("group_size", "inputs"),
    [
        (128, None),  # 3584 = 28 · 128 and 18944 = 148 · 128
        (64, None),
        (96, 3584),  # 37.33 groups
        (512, None),  # 7 and 37 groups
        (256, None),
        (1024, 3584),
        (1792, 18944),  # two groups of 3584, and 10.57 of the inputs of the last product
    ],
)
def test_the_first_inputs_that_are_no_whole_groups_are_named(group_size: int, inputs: int | None) -> None:
    assert Scheme(group_size).first_undivided_inputs(QWEN) == inputs


def test_a_scheme_in_json_is_the_same_scheme() -> None:
    scheme = Scheme(32, sym=True, desc_act=True)
    assert scheme.to_json() == {"group_size": 32, "sym": True, "desc_act": True, "double_quant": False}
    assert Scheme.from_json(scheme.to_json()) == scheme


def test_bytes_of_packed_tensors_by_hand() -> None:
    # gptq's integers of 3584 inputs and 512 outputs: eight 4-bit numbers in each 32-bit word
    assert Part("I32", (3584 // 8, 512)).bytes == 448 * 512 * 4
    assert Part("F16", (28, 512)).bytes == 28 * 512 * 2
    assert Part("U8", ()).bytes == 1  # a scalar


def test_every_dtype_has_the_bytes_of_its_name() -> None:
    named = {name: int("".join(filter(str.isdigit, name))[:2]) // 8 for name in DTYPE_BYTES if name[-1].isdigit()}
    of_names = {name: count for name, count in named.items() if not name.startswith("F8")}
    assert {name: DTYPE_BYTES[name] for name in of_names} == of_names
    assert {DTYPE_BYTES[name] for name in ("BOOL", "F8_E4M3", "F8_E5M2")} == {1}
