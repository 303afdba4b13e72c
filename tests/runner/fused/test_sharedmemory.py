"""Shared memory is laid out as in shape.cuh, which the host's compiler reads."""

import subprocess
from pathlib import Path

import pytest

from runner.fused import compiled, geometry, sharedmemory
from runner.fused.geometry import Card
from tests.support.fusedshapes import H200, L4, everything

PROGRAM = """
#include <cstdio>
#include "shape.cuh"
int main() { std::printf("%d", memory::input); }
"""


@pytest.mark.medium
@pytest.mark.parametrize("card", [H200, L4], ids=["h200", "l4"])
@pytest.mark.parametrize("name", everything())
def test_the_input_lies_where_the_kernel_has_it(name: str, card: Card, tmp_path: Path) -> None:
    layout = geometry.choose(everything()[name], card)
    (tmp_path / "offset.cpp").write_text(PROGRAM)
    defines = [f"-D{constant}={value}" for constant, value in layout.defines().items()]
    command = ["g++", "-std=c++17", "-I", str(compiled.SOURCES), *defines, "offset.cpp", "-o", "offset"]
    subprocess.run(command, cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "offset"], check=True, capture_output=True, text=True).stdout
    assert int(printed) == sharedmemory.input_offset(layout)
    assert sharedmemory.needed_bytes(layout) <= card.shared_bytes
