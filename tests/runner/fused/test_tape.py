"""The tape: every byte of the model and of the older tokens once, and the same in Python as in plan.cuh."""

import subprocess
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from runner.cell.shape import ModelShape
from runner.fused import compiled, geometry, tape
from runner.fused.geometry import Geometry
from tests.support.fusedshapes import H200, L4, everything, odd, of_catalogue

CACHE_ROWS = 3000
PROGRAM = """
#include <cstdio>
#include <initializer_list>
#include "plan.cuh"
static const plan::Range ranges[] = {TABLE};
int main() {
  for (int tokens : {0, 1, 15, 300, 2048})
    for (int block = 0; block < shape::blocks; ++block)
      for (int warp = 0; warp < shape::warps; ++warp)
        for (int phase = 0; phase < plan::END; ++phase) {
          plan::Tokens share = plan::tokens_of(block, warp, tokens);
          plan::Run run = plan::run_of(phase, ranges + (block * shape::warps + warp) * plan::RANGES, share, warp, ROWS);
          if (run.count) std::printf("%d %d %d %d %lld %d %d %d %d\\n", tokens, block, warp, phase,
                                     run.offset, run.count, run.bytes, run.last, run.stride);
        }
}
"""


def sizes(shape: ModelShape) -> dict[str, int]:
    """Returns the bytes of each tensor of a layer, and of the head."""
    shapes = dict(zip(("query", "key", "value", "out", "gate", "up", "down"), shape.linear_shapes, strict=True))
    shapes["head"] = (shape.vocab, shape.hidden)
    return {name: 2 * rows * columns for name, (rows, columns) in shapes.items()}


def pieces(layout: Geometry, tokens: int) -> dict[tuple[int, str], list[tuple[int, int]]]:
    found = defaultdict(list)
    for block in range(layout.blocks):
        for warp in range(layout.warps):
            for copy in tape.copies(layout, block, warp, tokens, CACHE_ROWS):
                assert copy.offset % 16 == copy.size % 16 == 0
                assert copy.size > 0
                found[copy.layer, copy.tensor].append((copy.offset, copy.offset + copy.size))
    return {key: sorted(spans) for key, spans in found.items()}


@pytest.mark.medium
@pytest.mark.parametrize("name", ["tiny", *odd()])
def test_every_byte_of_every_matrix_is_read_once(name: str) -> None:
    shape = everything()[name]
    found = pieces(geometry.choose(shape, H200), 300)
    for layer in range(shape.layers):
        for tensor, size in sizes(shape).items():
            if tensor == "head" and layer:
                continue
            spans = found[layer, tensor]
            assert (spans[0][0], spans[-1][1]) == (0, size)
            assert all(before[1] == after[0] for before, after in pairwise(spans))


@pytest.mark.medium
@pytest.mark.parametrize("tokens", [0, 1, 15, 16, 17, 300, 2048])
@pytest.mark.parametrize("name", ["tiny", "group-7"])
def test_every_older_token_is_read_once(name: str, tokens: int) -> None:
    shape = everything()[name]
    row = 2 * shape.head_dim
    found = pieces(geometry.choose(shape, H200), tokens)
    wanted = {
        ((head * CACHE_ROWS + token) * row, (head * CACHE_ROWS + token + 1) * row)
        for head in range(shape.kv_heads)
        for token in range(tokens)
    }
    for tensor in ("keys", "values"):
        spans = found.get((0, tensor), [])
        rows = [(start, start + row) for first, last in spans for start in range(first, last, row)]
        assert len(rows) == len(wanted)
        assert set(rows) == wanted


@pytest.mark.medium
def test_a_layer_of_qwen_reads_what_the_floor_counts() -> None:
    shape = of_catalogue()["qwen2.5-7b"]
    layout = geometry.choose(shape, H200)
    runs = [
        tape.run_of(layout, phase, block, warp, 2048, 4096)
        for phase in tape.LAYER_PHASES
        for block in range(layout.blocks)
        for warp in range(layout.warps)
    ]
    cache = sum(run.size * (run.count - 1) + run.last for run in runs if run.count and run.stride == 14 * 256)
    matrices = sum(run.size * run.count for run in runs if run.stride != 14 * 256)
    assert matrices == sum(size for name, size in sizes(shape).items() if name != "head")
    assert 2 * cache == 2 * 2 * shape.kv_width * 2048  # keys and values


@pytest.mark.slow
@pytest.mark.parametrize("card", [H200, L4], ids=["h200", "l4"])
@pytest.mark.parametrize("name", everything())
def test_the_kernels_own_runs_are_the_same(name: str, card: geometry.Card, tmp_path: Path) -> None:
    from runner.fused import plan

    layout = geometry.choose(everything()[name], card)
    table = ",".join(f"{{{first},{stop}}}" for warps in plan.table(layout) for warp in warps for first, stop in warp)
    (tmp_path / "runs.cpp").write_text(PROGRAM.replace("TABLE", table).replace("ROWS", str(CACHE_ROWS)))
    defines = [f"-D{constant}={value}" for constant, value in layout.defines().items()]
    command = ["g++", "-std=c++17", "-O0", "-I", str(compiled.SOURCES), *defines, "runs.cpp", "-o", "runs"]
    subprocess.run(command, cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "runs"], check=True, capture_output=True, text=True).stdout
    expected = [
        f"{tokens} {block} {warp} {number} {run.offset} {run.count} {run.size} {run.last} {run.stride}"
        for tokens in (0, 1, 15, 300, 2048)
        for block in range(layout.blocks)
        for warp in range(layout.warps)
        for number, phase in enumerate(tape.PHASES)
        if (run := tape.run_of(layout, phase, block, warp, tokens, CACHE_ROWS)).count
    ]
    assert printed.splitlines() == expected
