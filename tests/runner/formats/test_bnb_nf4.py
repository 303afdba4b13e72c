"""nf4 as bitsandbytes packs it: its tensors, its nested blocks, and the layouts of a checkpoint that are refused."""

import json

import pytest
import torch

from runner.errors import BadCheckpoint
from runner.formats import bnb_nf4
from tests.support.packed_formats import CASES, NF4, NF4_CONFIG, NF4_SINGLE, golden_packed, golden_tensors, same_bits


@pytest.mark.parametrize("name", ["bnb-nf4-bf16", "bnb-nf4-fp16", "bnb-nf4-single"])
def test_nf4_is_packed_as_bitsandbytes_packs_it(name):
    scheme = CASES[name][1]
    theirs = bnb_nf4.from_stored(golden_packed(name), scheme)
    ours = bnb_nf4.quantise(golden_tensors(name)["original"], scheme)
    assert ours.keys() == theirs.keys()
    for key in ours:
        if key in ("weight.nested_offset", "weight.nested_absmax"):  # a mean over another order of sums
            torch.testing.assert_close(ours[key], theirs[key], rtol=1e-6, atol=0)
        else:
            assert same_bits(ours[key], theirs[key]), key


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("bnb-nf4-bf16", {"blocksize": 128}, "its blocksize is 128, expected 64"),
        ("bnb-nf4-single", {"quant_type": "fp4"}, "its quant_type is fp4, expected nf4"),
        ("bnb-nf4-fp16", {"nested_blocksize": 128}, "its nested_blocksize is 128, expected 256"),
    ],
)
def test_an_nf4_tensor_that_says_another_layout_is_refused(name, change, said):
    packed = golden_packed(name)
    state = json.loads(bytes(packed[bnb_nf4.STATE].tolist())) | change
    packed[bnb_nf4.STATE] = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
    with pytest.raises(BadCheckpoint, match=said):
        bnb_nf4.from_stored(packed, CASES[name][1])


@pytest.mark.parametrize(("rows", "blocks"), [(128, 256), (136, 272), (256, 512)])
def test_nested_blocks_are_as_many_as_the_magnitudes_fill(rows, blocks):
    """128 · 128 weights have 256 magnitudes, which fill one nested block; 272 take a second, and so do 512."""
    packed = bnb_nf4.quantise(torch.randn(rows, 128), NF4)
    parts = bnb_nf4.parts(rows, 128, NF4)
    assert len(packed["weight.absmax"]) == blocks
    nested = 1 if blocks == 256 else 2
    assert (len(packed["weight.nested_absmax"]), parts["weight.nested_absmax"].shape) == (nested, (nested,))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({**NF4_CONFIG, "bnb_4bit_use_double_quant": 0}, "its bnb_4bit_use_double_quant is 0, neither"),
        ({**NF4_CONFIG, "load_in_4bit": "yes"}, "its load_in_4bit is 'yes', neither true nor false"),
        ({**NF4_CONFIG, "bnb_4bit_quant_storage": "bfloat16"}, "its bnb_4bit_quant_storage is bfloat16"),
        ({"load_in_8bit": True}, "it holds bitsandbytes int8, only nf4 is supported"),
        ({"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, "it holds bitsandbytes fp4"),
    ],
)
def test_a_layout_that_is_not_read_is_refused(config, said):
    with pytest.raises(BadCheckpoint, match=said):
        bnb_nf4.read_config(config)


def test_what_a_config_says_is_kept():
    assert bnb_nf4.read_config({**NF4_CONFIG, "bnb_4bit_use_double_quant": True}) == NF4
    assert bnb_nf4.read_config(NF4_CONFIG) == NF4_SINGLE
