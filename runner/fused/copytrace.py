"""A step's copies and products, as a build with TRACE wrote them down, held against the tape and the shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import zip_longest

from runner.fused import tape
from runner.fused.geometry import Geometry

PHASES = ("qkv", "cache", "out", "gate_up", "down", "head")
"""Phases of a layer, in the order of `plan::Phase` (plan.cuh)."""


@dataclass(frozen=True)
class Traced:
    """A copy that a filler made, and the warp that read it: the words of `Traced` in instruments.cuh."""

    address: int
    second: int
    """address of the values, as many bytes, that come with keys; 0 if there are none"""
    bytes: int
    slot: int
    warp: int
    reads: int = 1
    """how often warps waited for it"""


@dataclass(frozen=True)
class Work:
    """Products of a phase in one layer, by all blocks."""

    rows: int
    """rows; in `down` pieces of rows; in `cache` tokens of each key head, with the new one"""
    bytes: int


@dataclass(frozen=True)
class Addresses:
    """Addresses of what is on the tape."""

    layers: Sequence[Mapping[str, int]]
    """of each layer's tensors by their name in `launch.LAYER_FIELDS`"""
    head: int
    cache_rows: int
    """tokens that the cache has room for"""


def of_block(layout: Geometry, addresses: Addresses, block: int, tokens: int) -> Iterator[Traced]:
    """Yields a block's copies of a step with `tokens` older tokens, as the tape has them."""
    of_layer = list(tape.of_layer(layout, block, tokens, addresses.cache_rows))
    copies = [(layer, copy) for layer in addresses.layers for copy in of_layer]
    copies += [({"head": addresses.head}, copy) for copy in tape.of_head(layout, block)]
    for n, (tensors, copy) in enumerate(copies):
        beside = tape.BESIDE.get(copy.tensor)
        second = tensors[beside] + copy.offset if beside else 0
        yield Traced(tensors[copy.tensor] + copy.offset, second, copy.size, n % layout.slots, copy.warp)


def count(layout: Geometry, block: int, tokens: int) -> int:
    """Returns the number of a block's copies in a step with `tokens` older tokens."""
    of_layer = sum(1 for _ in tape.of_layer(layout, block, tokens, 0))
    return layout.shape.layers * of_layer + sum(1 for _ in tape.of_head(layout, block))


def differences(found: Sequence[Sequence[Traced]], layout: Geometry, addresses: Addresses, tokens: int) -> list[str]:
    """Returns a line for each copy of a step, found in a trace [blocks][copies], that is not what the tape has."""
    return [
        f"block {block}, copy {n}: {_difference(copy, expected)}"
        for block, copies in enumerate(found)
        for n, (copy, expected) in enumerate(zip_longest(copies, of_block(layout, addresses, block, tokens)))
        if copy != expected
    ]


def _difference(copy: Traced | None, expected: Traced | None) -> str:
    if copy is None or expected is None:
        return "it is missing" if copy is None else "the tape has no such copy"
    pairs = ((field.name, getattr(copy, field.name), getattr(expected, field.name)) for field in fields(Traced))
    return ", ".join(f"{name} {value} instead of {wanted}" for name, value, wanted in pairs if value != wanted)


def expected_work(layout: Geometry, tokens: int) -> list[dict[str, Work]]:
    """Returns what each phase of each layer multiplies in a step with `tokens` older tokens. The head is in the last
    layer."""
    shape = layout.shape
    wide = 2 * shape.hidden
    kept = (tokens + 1) * shape.kv_heads
    of_layer = {
        "qkv": Work(layout.qkv_rows, layout.qkv_rows * wide),
        "cache": Work(kept, kept * 4 * shape.head_dim),
        "out": Work(shape.hidden, shape.hidden * 2 * shape.q_width),
        "gate_up": Work(2 * shape.intermediate, 2 * shape.intermediate * wide),
        "down": Work(shape.hidden * layout.pieces, shape.hidden * 2 * shape.intermediate),
        "head": Work(0, 0),
    }
    return [of_layer] * (shape.layers - 1) + [of_layer | {"head": Work(shape.vocab, shape.vocab * wide)}]
