"""The kernel's parameter is laid out as the kernel reads it, and its buffers are small."""

import re

import pytest

from runner.fused import compiled, geometry, launch
from tests.support.fusedshapes import H200, of_catalogue

MEMBERS = re.compile(r"\*?\s*(\w+)(?:\[[^\]]*\])?\s*[,;]")


def members(struct: str, header: str) -> list[str]:
    """Returns the names of a struct's members, in order."""
    text = re.sub(r"//.*", "", (compiled.SOURCES / header).read_text())
    body = re.search(rf"struct {struct} {{(.*?)}};", text, re.DOTALL)
    assert body is not None
    return MEMBERS.findall(body[1])


def test_the_fields_of_a_step_are_in_the_kernels_order() -> None:
    assert members("Step", "arguments.cuh") == ["vectors", *launch.STEP_FIELDS, "epsilon"]


def test_the_vectors_of_a_layer_are_in_the_kernels_order() -> None:
    assert members("Vectors", "arguments.cuh") == list(launch.VECTOR_FIELDS)


def test_the_tensors_of_a_layer_are_in_the_kernels_order() -> None:
    enumerated = re.search(r"enum Tensor {\s*(.*?),\s*TENSORS\s*}", (compiled.SOURCES / "plan.cuh").read_text())
    assert enumerated is not None
    names = [name.strip().lower() for name in enumerated[1].split(",")]
    letters = {"query": "wq", "key": "wk", "value": "wv", "out": "wo", "gate": "wgate", "up": "wup", "down": "wdown"}
    assert names == [letters.get(name, name) for name in launch.LAYER_FIELDS]


@pytest.mark.parametrize("name", of_catalogue())
def test_the_exchanges_take_little_memory(name: str) -> None:
    layout = geometry.choose(of_catalogue()[name], H200)
    assert 8 * sum(launch.exchange_packets(layout).values()) < 2**21
