"""The tape of a block: every copy that a step makes for it, in order. The same as plan.cuh, in Python.

The kernel computes its tape itself. Tests hold the two against each other, and the model's bytes against the tape.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from runner.fused import plan
from runner.fused.geometry import GRANULE, Geometry
from runner.fused.plan import Range

BESIDE = {"keys": "values"}
"""The tensor that is read together with another one, from the same offset."""


class Copy(NamedTuple):
    """Bytes of one tensor, `size` from an offset on, that fill a slot, and the warp that uses them."""

    tensor: str
    offset: int
    size: int
    warp: int


@dataclass(frozen=True)
class Tokens:
    """Older tokens that a block reads of a key head: split number `split` of `splits`."""

    head: int
    split: int
    splits: int
    range: Range


def splits(geometry: Geometry, tokens: int) -> int:
    """Returns how many blocks share a key head: only as many as give each of their warps a tile."""
    wanted = -(-tokens // (geometry.tile_tokens * geometry.warps))
    return max(1, min(wanted, geometry.most_splits))


def tokens_of(geometry: Geometry, block: int, tokens: int) -> Tokens:
    """Returns the block's share of the `tokens` older tokens; none beyond the last key head."""
    count = splits(geometry, tokens)
    head, split = divmod(block, count)
    if head >= geometry.shape.kv_heads:
        return Tokens(head, split, count, Range(0, 0))
    return Tokens(head, split, count, Range(tokens * split // count, tokens * (split + 1) // count))


def piece_start(geometry: Geometry, piece: int) -> int:
    """Returns the first byte of a piece of a row of the down projection."""
    line = 64 if geometry.shape.intermediate % 64 == 0 else GRANULE
    return geometry.shape.intermediate // line * piece // geometry.pieces * line * 2


def of_layer(geometry: Geometry, block: int, tokens: int, cache_rows: int) -> Iterator[Copy]:
    """Yields a block's copies for one layer, with `tokens` older tokens in a cache that has room for `cache_rows`."""
    shape, ranges = geometry.shape, plan.of_block(geometry, block)
    yield from _in_twos(geometry, [qkv_row(geometry, row) for row in _numbers(ranges[plan.QKV])])
    yield from _of_cache(geometry, tokens_of(geometry, block, tokens), cache_rows)
    yield from _in_twos(geometry, [("out", row, 2 * shape.q_width) for row in _numbers(ranges[plan.ROWS])])
    yield from _of_gate_up(geometry, ranges[plan.PAIRS])
    yield from _of_down(geometry, ranges[plan.ROWS])


def of_head(geometry: Geometry, block: int) -> Iterator[Copy]:
    """Yields a block's copies of the head, which follow those of all layers."""
    rows = _numbers(plan.of_block(geometry, block)[plan.HEAD])
    yield from _in_twos(geometry, [("head", row, 2 * geometry.shape.hidden) for row in rows])


def _numbers(share: Range) -> range:
    return range(share.first, share.stop)


def _in_twos(geometry: Geometry, rows: list[tuple[str, int, int]]) -> Iterator[Copy]:
    """Yields rows (tensor, row, bytes of a row). Two neighbours go to one warp, the next two to the next warp."""
    for turn, (tensor, row, size) in enumerate(rows):
        yield Copy(tensor, row * size, size, turn // 2 % geometry.warps)


def qkv_row(geometry: Geometry, row: int) -> tuple[str, int, int]:
    """Returns tensor, row and bytes of a row of Wq, Wk and Wv one below the other."""
    q, kv, wide = geometry.shape.q_width, geometry.shape.kv_width, 2 * geometry.shape.hidden
    if row < q:
        return "query", row, wide
    return ("key", row - q, wide) if row < q + kv else ("value", row - q - kv, wide)


def _of_cache(geometry: Geometry, tokens: Tokens, cache_rows: int) -> Iterator[Copy]:
    row, tile = 2 * geometry.shape.head_dim, geometry.tile_tokens
    for turn, first in enumerate(range(tokens.range.first, tokens.range.stop, tile)):
        size = min(tile, tokens.range.stop - first) * row
        yield Copy("keys", (tokens.head * cache_rows + first) * row, size, turn % geometry.warps)


def _of_gate_up(geometry: Geometry, pairs: Range) -> Iterator[Copy]:
    """Yields a row of both matrices together. Each warp has pairs of rows: the first rows of all warps come first."""
    wide = 2 * geometry.shape.hidden
    for before in range(pairs.first, pairs.stop, geometry.warps):
        of_warps = range(before, min(before + geometry.warps, pairs.stop))
        for half in (0, 1):
            for warp, pair in enumerate(of_warps):
                for tensor in ("gate", "up"):
                    yield Copy(tensor, (2 * pair + half) * wide, wide, warp)


def _of_down(geometry: Geometry, rows: Range) -> Iterator[Copy]:
    """Yields two rows together: a piece of both, the next piece of both, and so on; the last row may be alone.

    In a round each warp has one piece. If there are more pieces than warps, the round is repeated with the next pieces.
    """
    wide, at_once = 2 * geometry.shape.intermediate, min(geometry.pieces, geometry.warps)
    for round_start in range(0, geometry.pieces, at_once):
        for turn, first in enumerate(range(rows.first, rows.stop, 2)):
            group = turn % (geometry.warps // at_once) * at_once
            for k in range(at_once):
                start, stop = (piece_start(geometry, round_start + edge) for edge in (k, k + 1))
                for row in range(first, min(first + 2, rows.stop)):
                    yield Copy("down", row * wide + start, stop - start, group + k)
