"""GPTQ's stored form: zero points less one, the order of activations, and the layouts that are refused."""

import pytest
import torch

from runner.cell.scheme import Scheme
from runner.errors import BadCheckpoint
from runner.formats import gptq
from tests.support.packed_formats import INT4_CONFIG, golden_packed, same_bits


def test_gptq_stores_zero_points_less_one():
    packed = gptq.quantise(torch.randn(8, 128), Scheme(128, sym=True))
    assert packed["qzeros"].item() == 0x77777777  # eight zero points of 8


def test_an_order_that_the_config_does_not_tell_of_is_refused():
    packed = golden_packed("gptq-desc-act")
    with pytest.raises(BadCheckpoint, match="g_idx is not the natural order, though desc_act is false"):
        gptq.from_stored(packed, Scheme(128, sym=True))


def test_a_zero_point_of_zero_cannot_be_stored_less_one():
    packed = golden_packed("gptq-asym")
    packed["qzeros"][0, 0] |= 15
    with pytest.raises(BadCheckpoint, match="a zero point of 0 is stored as 15"):
        gptq.from_stored(packed, Scheme(128))


def test_zero_points_that_a_symmetric_config_denies_are_refused():
    """A kernel that takes sym at its word multiplies by 8, one that reads them by what is stored."""
    packed = golden_packed("gptq-sym")
    packed["qzeros"][-1, -1] += 1  # the lowest nibble: 7, a zero point of 8, becomes 8, one of 9
    with pytest.raises(BadCheckpoint, match=r"sym is true but zero points are not 8.*set sym to false"):
        gptq.from_stored(packed, Scheme(128, sym=True))
    gptq.from_stored(packed, Scheme(128))


def test_a_gptq_layer_goes_to_its_folder_and_back():
    scheme = Scheme(128, sym=True)
    packed = gptq.quantise(torch.randn(16, 256), scheme)
    stored = gptq.to_stored(packed, scheme, 256)
    assert stored["g_idx"].tolist() == [0] * 128 + [1] * 128
    back = gptq.from_stored(stored, scheme)
    assert back.keys() == packed.keys()
    assert all(same_bits(back[name], packed[name]) for name in packed)


@pytest.mark.parametrize("fields", [{"format": "gptq"}, {"checkpoint_format": "gptq", "format": "gptq"}, {}])
def test_gptq_is_known_under_each_name_of_its_form_and_symmetric_where_it_does_not_say(fields):
    assert gptq.read_config({**INT4_CONFIG, **fields}) == Scheme(128, sym=True, desc_act=False)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"bits": 8, "group_size": 128}, "its weights have 8 bits, only 4 are supported"),
        ({"bits": "4", "group_size": 128}, "its bits are '4', not a number: only 4 are supported"),
        ({"bits": 4, "group_size": -1}, "its group_size is -1"),
        ({"bits": 4, "group_size": 128, "checkpoint_format": "gptq_v2"}, "its checkpoint_format is gptq_v2"),
        ({**INT4_CONFIG, "format": "gptq_v2"}, "its format is gptq_v2, only gptq is supported"),
        (
            {**INT4_CONFIG, "checkpoint_format": "gptq", "format": "marlin"},
            "its format is marlin, only gptq is supported",
        ),
        ({**INT4_CONFIG, "is_marlin_format": True}, "its is_marlin_format is true"),
        ({**INT4_CONFIG, "sym": "false"}, "its sym is 'false', neither true nor false"),
        ({**INT4_CONFIG, "desc_act": 0}, "its desc_act is 0, neither true nor false"),
        ({**INT4_CONFIG, "lm_head": True}, "its lm_head is true: take a checkpoint whose head is in 16 bits"),
    ],
)
def test_a_layout_that_is_not_read_is_refused(config, said):
    with pytest.raises(BadCheckpoint, match=said):
        gptq.read_config(config)


def test_what_a_config_says_is_kept():
    found = gptq.read_config({"bits": 4, "group_size": 64, "sym": False, "desc_act": True})
    assert found == Scheme(64, sym=False, desc_act=True)
    assert gptq.read_config(gptq.config_of(found)) == found
    without_form = {**INT4_CONFIG, "checkpoint_format": None, "is_marlin_format": False}
    assert gptq.read_config(without_form) == Scheme(128, sym=True)
