"""AWQ's config as AutoAWQ writes it: what is read of it, and the layouts that are refused."""

import pytest
import torch

from runner.cell.scheme import Scheme
from runner.errors import BadCheckpoint
from runner.formats import awq
from tests.support.packed_formats import INT4_CONFIG


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"group_size": 128}, "its bits are None, not a number"),
        ({**INT4_CONFIG, "zero_point": "true"}, "its zero_point is 'true', neither true nor false"),
        ({"bits": 4, "group_size": 128, "version": "gemv"}, "its AWQ version is gemv, only gemm is supported"),
        (
            {**INT4_CONFIG, "version": "gemm", "backend": "llm-awq"},
            "its AWQ version is llm-awq, only gemm is supported",
        ),
        ({"bits": 4, "group_size": 128, "zero_point": False}, "its zero_point is false"),
    ],
)
def test_a_layout_that_is_not_read_is_refused(config, said):
    with pytest.raises(BadCheckpoint, match=said):
        awq.read_config(config)


def test_what_a_config_says_is_kept():
    for version in ("gemm", "GEMM"):  # AutoAWQ writes the one and is asked for the other
        assert awq.read_config({**INT4_CONFIG, "zero_point": True, "version": version}) == Scheme(128)


def test_rows_of_a_layer_are_unpacked_in_awqs_own_order():
    """Eight outputs of one input: codes 0 … 7 in one word, zero points of 1 and scales of 2: (code − 1) · 2."""
    words = torch.tensor([[0x75316420]], dtype=torch.int32)
    zeros = torch.full((1, 1), 0x11111111, dtype=torch.int32)
    tensors = {"qweight": words, "qzeros": zeros, "scales": torch.full((1, 8), 2.0).half()}
    found = awq.dequantise(tensors, Scheme(128), 1, slice(0, 8))
    assert found.shape == (8, 1)
    assert found.flatten().tolist() == [-2.0, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]
