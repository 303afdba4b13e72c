"""A step reads the bytes of the floor, and what it reads again is listed apart."""

from pathlib import Path

import pytest

from runner.cell import floors
from runner.fused import geometry, planbytes, stepplan
from tests.support.fusedshapes import H200, everything

TOKENS = 2048
ROW = "embedding's row"
PAGE = Path(__file__).resolve().parents[3] / "docs" / "fused.md"


@pytest.mark.slow
@pytest.mark.parametrize("name", everything())
def test_a_step_reads_the_bytes_of_the_floor(name: str) -> None:
    shape = everything()[name]
    step = stepplan.make(geometry.choose(shape, H200), TOKENS, 3000)
    weights = floors.weight_bytes(shape, 2, lambda rows, columns: 2 * rows * columns)
    floor = floors.bytes_streamed(
        weights, floors.embedding_bytes(shape, 2), TOKENS * floors.kv_bytes_per_token(shape, 2)
    )
    assert sum(planbytes.distinct(step).values()) == floor


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("qwen2.5-7b", "Qwen2.5-7B"),
        ("mistral-7b", "Mistral-7B"),
        ("llama-3.1-8b", "Llama-3.1-8B"),
        ("qwen2.5-0.5b", "Qwen2.5-0.5B"),
    ],
)
def test_the_documents_bytes_are_those_of_the_plan(name: str, title: str) -> None:
    step = stepplan.make(geometry.choose(everything()[name], H200), TOKENS, 3000)
    again = planbytes.repeated(step)
    packets = sum(size for what, size in again.items() if what.startswith("packets"))
    distinct = f"{sum(planbytes.distinct(step).values()):,}".replace(",", " ")
    shown = (
        f"{again['norms'] / 1e6:.1f}",
        f"{packets / 1e6:.1f}",
        f"{again[ROW] / 1e6:.2f}",
        f"{again['angles'] / 1e6:.2f}",
    )
    assert f"| {title} | {distinct} | {' MB | '.join(shown)} MB |" in PAGE.read_text(encoding="utf-8")


@pytest.mark.medium
def test_what_is_read_again_is_listed_with_its_size() -> None:
    step = stepplan.make(geometry.choose(everything()["tiny"], H200), 12, 3000)
    # 64 blocks, 2 layers, hidden 128, 4 query heads and 2 key heads of 32, intermediate 256, one split
    assert planbytes.repeated(step) == {
        "norms": 63 * 5 * 128 * 2,
        "embedding's row": 65 * 128 * 2,  # each block has the row for its norm, and its own part for its residual
        "angles": 64 * 32 * 4,
        "packets: qkv": 8 * 1 * 64 * 128,  # not in layer 0
        "packets: split": 8 * 2 * (128 + 2 * 64),  # each query, key and value once
        "packets: join": 8 * 2 * 64 * (2 + 2),  # one pair of outputs a block, and its head's two numbers
        "packets: out": 8 * 2 * 64 * 64,
        "packets: gate_up": 8 * 2 * 64 * 128,
        "packets: down": 8 * 2 * 64 * 128,  # one warp has both rows of a block, in one piece
        "packets: head": 8 * 64 * 128,
        "packets: choose": 8 * 128,
    }
