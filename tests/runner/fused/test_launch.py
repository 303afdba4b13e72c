"""The kernel's parameter is laid out as the kernel reads it, and its buffers are small."""

from types import SimpleNamespace

import pytest
import torch

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


def test_a_launch_that_gave_up_is_read_from_host_memory() -> None:
    layout, report = geometry.choose(of_catalogue()["tiny"], H200), torch.zeros(3 * 8, dtype=torch.int32)
    fake = SimpleNamespace(buffers={"report": report}, geometry=layout, _torch=torch)
    assert launch.Launch.stuck(fake) is None
    report[8:16] = torch.tensor([1, 2, 0, 5, 3, -1, -3, 77])  # words of 32 bits: epochs 2³² - 1 and 2³² - 3
    assert launch.Launch.stuck(fake) == (
        "the fused step waited too long for the residual stream before attention "
        "(layer 0, block 5, SM 77, warp 3: expected epoch 4294967295, saw 4294967293)"
    )
