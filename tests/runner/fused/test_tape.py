"""The tape: every byte of the model and of the older tokens once, and the same in Python as in plan.cuh."""

import subprocess
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from runner.cell import floors
from runner.cell.shape import ModelShape
from runner.fused import compiled, geometry, plan, tape
from runner.fused.geometry import Geometry
from tests.support.fusedshapes import A100, H200, L4, everything, odd, of_catalogue

CACHE_ROWS = 3000
PHASE_OF = {
    **dict.fromkeys(("query", "key", "value"), "qkv"),
    **dict.fromkeys(("gate", "up"), "gate and up"),
    **{name: name for name in ("keys", "out", "down", "head")},
}
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


def sizes(shape: ModelShape) -> dict[str, int]:
    """Returns the bytes of each tensor of a layer, and of the head."""
    shapes = dict(zip(("query", "key", "value", "out", "gate", "up", "down"), shape.linear_shapes, strict=True))
    shapes["head"] = (shape.vocab, shape.hidden)
    return {name: 2 * rows * columns for name, (rows, columns) in shapes.items()}


def spans(layout: Geometry, tokens: int) -> dict[str, list[tuple[int, int]]]:
    """Returns the bytes [first, last) of each tensor of a layer, and of the head, that all blocks read, sorted."""
    found = defaultdict(list)
    for block in range(layout.blocks):
        for copy in (*tape.of_layer(layout, block, tokens, CACHE_ROWS), *tape.of_head(layout, block)):
            assert copy.offset % 16 == copy.size % 16 == 0
            assert copy.size > 0
            for tensor in (copy.tensor, *([tape.BESIDE[copy.tensor]] if copy.tensor in tape.BESIDE else [])):
                found[tensor].append((copy.offset, copy.offset + copy.size))
    return {tensor: sorted(read) for tensor, read in found.items()}


def phases(layout: Geometry, block: int, tokens: int) -> list[list[tape.Copy]]:
    """Returns a block's copies from barrier to barrier."""
    by_phase = defaultdict(list)
    for copy in (*tape.of_layer(layout, block, tokens, CACHE_ROWS), *tape.of_head(layout, block)):
        by_phase[PHASE_OF[copy.tensor]].append(copy)
    down, at_once = by_phase.pop("down"), min(layout.pieces, layout.warps)
    of_round = len(down) // layout.pieces * at_once
    rounds = [down[first : first + of_round] for first in range(0, len(down), of_round)]
    return [*by_phase.values(), *rounds]


@pytest.mark.medium
@pytest.mark.parametrize("name", ["tiny", *odd()])
def test_every_byte_of_every_matrix_is_read_once(name: str) -> None:
    shape = everything()[name]
    found = spans(geometry.choose(shape, H200), 300)
    for tensor, size in sizes(shape).items():
        assert (found[tensor][0][0], found[tensor][-1][1]) == (0, size)
        assert all(before[1] == after[0] for before, after in pairwise(found[tensor]))


@pytest.mark.medium
@pytest.mark.parametrize("tokens", [0, 1, 15, 16, 17, 300, 2048])
@pytest.mark.parametrize("name", ["tiny", "group-7"])
def test_every_older_token_is_read_once(name: str, tokens: int) -> None:
    shape = everything()[name]
    row = 2 * shape.head_dim
    found = spans(geometry.choose(shape, H200), tokens)
    wanted = {
        ((head * CACHE_ROWS + token) * row, (head * CACHE_ROWS + token + 1) * row)
        for head in range(shape.kv_heads)
        for token in range(tokens)
    }
    for tensor in ("keys", "values"):
        rows = [(start, start + row) for first, last in found.get(tensor, []) for start in range(first, last, row)]
        assert len(rows) == len(wanted)
        assert set(rows) == wanted


@pytest.mark.medium
@pytest.mark.parametrize("name", ["qwen2.5-7b", "qwen2.5-0.5b", "mistral-7b", "llama-3.1-8b"])
def test_a_step_reads_the_bytes_of_the_floor(name: str) -> None:
    """Distinct bytes of the tape at a context are W - E + K: weights without the embedding, and keys and values."""
    shape, tokens = of_catalogue()[name], 2048
    found = spans(geometry.choose(shape, H200), tokens)
    read = {tensor: sum(last - first for first, last in spans) for tensor, spans in found.items()}
    matrices = sum(size for tensor, size in read.items() if tensor not in ("head", "keys", "values"))
    # biases and norms are read, too, but not through the ring
    vectors = 2 * (shape.layers * shape.bias_parameters + shape.norm_parameters)
    weights = floors.weight_bytes(shape, 2, lambda rows, columns: 2 * rows * columns)
    assert shape.layers * matrices + read["head"] + vectors == weights - floors.embedding_bytes(shape, 2)
    assert shape.layers * (read["keys"] + read["values"]) == tokens * floors.kv_bytes_per_token(shape, 2)


@pytest.mark.medium
@pytest.mark.parametrize("card", [H200, A100, L4], ids=["h200", "a100", "l4"])
@pytest.mark.parametrize("name", everything())
def test_a_warp_never_waits_for_a_slot_whose_round_is_two_ahead(name: str, card: geometry.Card) -> None:
    """A barrier's parity tells a round from the one before alone (ring.cuh).

    When a warp waits for copy n, copy n - slots has landed: it belongs to an earlier phase, behind which there is a
    barrier, or its filler had to wait for it before it asked for a copy that the warp has used already.
    """
    layout = geometry.choose(everything()[name], card)
    for block in (0, layout.blocks // 2, layout.blocks - 1):
        for phase in phases(layout, block, 2048):
            used = defaultdict(list)
            for n, copy in enumerate(phase):
                if (before := n - layout.slots) >= 0:
                    asked = [k for k in used[copy.warp] if (k - before) % layout.fillers == 0]
                    assert before <= max(asked) - layout.flights * layout.fillers
                used[copy.warp].append(n)


@pytest.mark.slow
@pytest.mark.parametrize("card", [H200, L4], ids=["h200", "l4"])
@pytest.mark.parametrize("name", everything())
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
