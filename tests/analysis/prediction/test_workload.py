"""The work of a step: bytes by hand, and configurations as the registry declares them."""

import pytest

from analysis.prediction import workload
from analysis.prediction.workload import Configuration
from runner.cell import catalogue
from tests.support.predictions import EAGER, FUSED, GRAPH, MARLIN

QWEN = catalogue.models()["qwen2.5-7b"].shape


def test_the_matrices_of_a_layer_are_those_of_the_shape():
    # q and o 3584 x 3584, k and v 512 x 3584, gate, up and down 18944 x 3584; two bytes each
    square, narrow, wide = 3584 * 3584 * 2, 512 * 3584 * 2, 18944 * 3584 * 2
    assert workload.workload(GRAPH, QWEN, 2048).matrices == (square, narrow, narrow, square, wide, wide, wide)


def test_packed_matrices_count_codes_scales_and_zero_points():
    # half a byte a weight; per group of 128 a scale of two bytes and half a byte of zero point
    assert workload.workload(MARLIN, QWEN, 2048).matrices[0] == 3584 * 3584 * (0.5 + 2.5 / 128)


def test_a_static_cache_is_attended_over_its_allocation_and_a_growing_one_over_its_context():
    assert workload.workload(GRAPH, QWEN, 2048).attended == 2112 * 3584 / 1e6
    assert workload.workload(EAGER, QWEN, 2048).attended == 2048 * 3584 / 1e6


def test_a_layer_of_a_step_that_is_one_kernel_has_one_matrix_of_all_its_bytes():
    work = workload.workload(FUSED, QWEN, 2048)
    assert (work.layers, work.head_bytes, work.attended) == (28, 152064 * 3584 * 2, 0.0)
    assert 28 * sum(work.matrices) + work.head_bytes == pytest.approx(work.streamed_bytes)
    assert work.streamed_bytes == workload.workload(GRAPH, QWEN, 2048).streamed_bytes


def test_the_streamed_bytes_are_those_of_the_floor():
    # W - E + K of Qwen2.5-7B at 2048: 14.141 GB + 2048 * 57344 B
    assert workload.streamed_bytes(GRAPH, QWEN, 2048) == pytest.approx(14.141e9 + 2048 * 57344, rel=1e-4)


def test_a_cell_has_the_default_dtype_attention_and_options():
    engine = Configuration("gptq", "exllamav2", "exllamav2", "engine").cell("h100", "qwen2.5-7b", 2048)
    assert (engine.dtype, engine.attention) == ("fp16", "engine")
    assert engine.options == {"sdpa": "flash", "sym": "true"}


def test_the_parameters_of_the_layers_are_those_of_their_matrices():
    # 28 * (2 * 3584² + 2 * 512 * 3584 + 3 * 18944 * 3584): embedding, head, norms and biases are no part of it
    assert workload.layer_parameters(QWEN) == 28 * (2 * 3584**2 + 2 * 512 * 3584 + 3 * 18944 * 3584)
