"""The tape is the same in Python as in plan.cuh. The rest of what it has to be, test_plancheck holds."""

import subprocess
from pathlib import Path

import pytest

from runner.fused import compiled, geometry, plan, tape
from tests.support.fusedshapes import everything, on_two_cards

CACHE_ROWS = 3000
TENSORS = ("query", "key", "value", "keys", "values", "out", "gate", "up", "down")
PROGRAM = """
#include <cstdio>
#include <initializer_list>
#include "plan.cuh"
static const plan::Range ranges[] = {TABLE};
int main() {
  for (int tokens : {0, 1, 15, 300, 2048})
    for (int block = 0; block < shape::blocks; ++block) {
      plan::Share share = plan::share_of(ranges + block * plan::RANGES, block, tokens);
      int all = share.start[plan::HEAD] + share.ranges[plan::HEAD_ROWS].count();
      for (int i = 0; i < all; ++i) {
        plan::Copy copy = plan::copy_of(share, i, CAPACITY);
        std::printf("%d %lld %d %d\\n", copy.tensor, copy.offset, copy.bytes, plan::warp_of(share, i));
      }
    }
}
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "card"), list(on_two_cards()))
def test_the_kernels_own_copies_are_the_same(name: str, card: geometry.Card, tmp_path: Path) -> None:
    layout = geometry.choose(everything()[name], card)
    table = ",".join(f"{{{first},{stop}}}" for ranges in plan.table(layout) for first, stop in ranges)
    (tmp_path / "copies.cpp").write_text(PROGRAM.replace("TABLE", table).replace("CAPACITY", str(CACHE_ROWS)))
    defines = [f"-D{constant}={value}" for constant, value in layout.defines().items()]
    command = ["g++", "-std=c++17", "-O1", "-I", str(compiled.SOURCES), *defines, "copies.cpp", "-o", "copies"]
    subprocess.run(command, cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "copies"], check=True, capture_output=True, text=True).stdout
    expected = [
        f"{TENSORS.index(copy.tensor) if copy.tensor in TENSORS else -1} {copy.offset} {copy.size} {copy.warp}"
        for tokens in (0, 1, 15, 300, 2048)
        for block in range(layout.blocks)
        for copy in (*tape.of_layer(layout, block, tokens, CACHE_ROWS), *tape.of_head(layout, block))
    ]
    assert printed.splitlines() == expected
