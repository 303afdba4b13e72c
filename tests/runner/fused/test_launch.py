"""The kernel's parameter is laid out as the kernel reads it, and its buffers are small."""

import pytest

from runner.fused import geometry, launch
from tests.support.cudasources import enumerators, members
from tests.support.fusedshapes import H200, of_catalogue


def test_the_fields_of_a_step_are_in_the_kernels_order() -> None:
    assert members("Step", "arguments.cuh") == ["vectors", *launch.STEP_FIELDS, "epsilon"]


def test_the_vectors_of_a_layer_are_in_the_kernels_order() -> None:
    assert members("Vectors", "arguments.cuh") == list(launch.VECTOR_FIELDS)


def test_the_tensors_of_a_layer_are_in_the_kernels_order() -> None:
    names = [name.lower() for name in enumerators("Tensor", "plan.cuh")[:-1]]
    letters = {"query": "wq", "key": "wk", "value": "wv", "out": "wo", "gate": "wgate", "up": "wup", "down": "wdown"}
    assert names == [letters.get(name, name) for name in launch.LAYER_FIELDS]


@pytest.mark.parametrize("name", of_catalogue())
def test_the_exchanges_take_little_memory(name: str) -> None:
    layout = geometry.choose(of_catalogue()[name], H200)
    assert 8 * sum(launch.exchange_packets(layout).values()) < 2**21
