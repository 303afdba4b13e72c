"""Eight codes in a word, and rounding to nearest with a scale and a zero point for each group."""

import pytest
import torch

from runner import registry
from runner.cell.scheme import Scheme
from runner.errors import BadCheckpoint
from runner.formats import _int4, awq, gptq
from tests.support.packed_formats import CASES, COLUMNS, ROWS, golden_tensors, same_bits


def test_codes_survive_packing_in_both_orders():
    codes = torch.randint(16, (24, 64), generator=torch.Generator().manual_seed(1), dtype=torch.int32)
    for order in (_int4.IN_ORDER, awq.ORDER):
        words = _int4.pack(codes, order)
        assert words.shape == (24, 8)
        assert same_bits(_int4.unpack(words, order), codes)


def test_a_word_by_hand():
    # codes 0 … 7 of a word: GPTQ keeps them in order, nibble i holds code i: 0x76543210;
    # AWQ's nibbles hold codes 0, 2, 4, 6, 1, 3, 5, 7: 0x75316420
    codes = torch.arange(8, dtype=torch.int32)[None]
    assert _int4.pack(codes).item() == 0x76543210
    assert _int4.pack(codes, awq.ORDER).item() == 0x75316420


@pytest.mark.parametrize("name", ["gptq-sym", "gptq-asym", "awq"])
def test_rounding_to_nearest_errs_by_half_a_step_at_most(name):
    quant, scheme = CASES[name]
    chosen = registry.packed_format(quant)
    original = golden_tensors(name)["original"].float()
    packed = chosen.quantise(original, scheme)
    back = chosen.dequantise(packed, scheme, COLUMNS, slice(0, ROWS))
    steps = packed["scales"].float().repeat_interleave(128, dim=0).T
    inside = (back - original).abs() / steps
    # a scale is rounded to 11 bits, by up to 2⁻¹¹ of itself, and there are up to 8 steps from the zero point:
    # 0.5 + 8 / 2048 = 0.504; a symmetric scheme's largest magnitude lies at 7.5 steps and is cut to 7
    assert inside.max() <= 0.504


@pytest.mark.parametrize("quant", ["gptq", "awq"])
@pytest.mark.parametrize("sign", [1, -1])
def test_weights_of_one_sign_are_rounded_over_a_range_that_holds_zero(quant, sign):
    """From 10 to 11: a step is 11 / 15 for AWQ; GPTQ cannot store a zero point of 0, and cuts one step off the end."""
    chosen, scheme = registry.packed_format(quant), Scheme(128)
    weight = sign * torch.linspace(10, 11, 8 * 128).view(8, 128)
    packed = chosen.quantise(weight, scheme)
    zeros = _int4.unpack(packed["qzeros"], awq.ORDER if quant == "awq" else _int4.IN_ORDER)
    zeros += gptq.STORED_LESS if quant == "gptq" else 0
    least = gptq.STORED_LESS if quant == "gptq" else 0
    assert set(zeros.flatten().tolist()) == {least if sign > 0 else 15}
    steps = packed["scales"].float().T
    torch.testing.assert_close(steps, weight.abs().amax(dim=1, keepdim=True) / 15, rtol=1e-3, atol=0)
    back = chosen.dequantise(packed, scheme, 128, slice(0, 8))
    cut = least if sign > 0 else 0
    assert float(((back - weight).abs() / steps).max()) <= 0.51 + cut


@pytest.mark.parametrize(("scheme", "zero"), [(Scheme(128, sym=True), 8), (Scheme(128), 1)])
def test_a_group_of_zeros_has_a_scale_all_the_same_and_codes_in_range(scheme, zero):
    codes, scales, zeros = _int4.quantise(torch.zeros(8, 128), scheme, zeros_from=1)
    assert set(codes.flatten().tolist()) == set(zeros.flatten().tolist()) == {zero}
    assert float(scales.min()) > 0


def test_groups_are_of_at_least_a_word():
    assert gptq.read_config({"bits": 4, "group_size": 8}).group_size == 8
    with pytest.raises(BadCheckpoint, match="its group_size is 7, only groups of 8 or more"):
        gptq.read_config({"bits": 4, "group_size": 7})
