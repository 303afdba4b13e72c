"""The readers' side of the tape: which slots the warps of a block read, and what they take them for.

A warp of the kernel does not look at the tape. It counts slots, as InTwos, InPairs and InPieces do (product.cuh,
mlp.cuh). So tape and turns have to fit each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from runner.fused import exchanges, plan
from runner.fused.geometry import Geometry
from runner.fused.plan import Range
from runner.fused.stepplan import Share
from runner.fused.tape import Copy, piece_start, qkv_row


class Take(NamedTuple):
    """A slot as the warp that reads it sees it."""

    slot: int
    """counted from the layer's first one; of the head, from the head's first one"""
    warp: int
    matrix: str
    """`qkv` is Wq, Wk and Wv one below the other; `keys` comes with the values"""
    row: int
    """of `keys`: the first token"""
    piece: int = 0
    """of a row of the down projection"""


def of_layer(geometry: Geometry, share: Share) -> dict[str, list[Take]]:
    """Returns what a block's warps read in each phase of a layer, by slot."""
    ranges, found, start = share.ranges, {}, 0
    for phase, takes in (
        (exchanges.QKV, _in_twos(geometry, "qkv", ranges[plan.QKV])),
        (exchanges.SPLIT, _of_tiles(geometry, share.tokens.range)),
        (exchanges.OUT, _in_twos(geometry, "out", ranges[plan.ROWS])),
        (exchanges.GATE_UP, _in_pairs(geometry, ranges[plan.PAIRS])),
        (exchanges.DOWN, _in_pieces(geometry, ranges[plan.ROWS])),
    ):
        found[phase] = [
            Take(start + take.slot, take.warp, take.matrix, take.row, take.piece)
            for take in sorted(takes, key=lambda take: take.slot)
        ]
        start += len(found[phase])
    return found


def of_head(geometry: Geometry, share: Share) -> list[Take]:
    """Returns what a block's warps read of the head, by slot."""
    return sorted(_in_twos(geometry, "head", share.ranges[plan.HEAD]), key=lambda take: take.slot)


def copy_of(geometry: Geometry, share: Share, cache_rows: int, take: Take) -> Copy:
    """Returns the copy that has to be in the slot."""
    shape = geometry.shape
    if take.matrix == "keys":
        row, count = 2 * shape.head_dim, min(geometry.tile_tokens, share.tokens.range.stop - take.row)
        return Copy("keys", (share.tokens.head * cache_rows + take.row) * row, count * row, take.warp)
    if take.matrix == "down":
        start, stop = (piece_start(geometry, take.piece + edge) for edge in (0, 1))
        return Copy("down", 2 * take.row * shape.intermediate + start, stop - start, take.warp)
    if take.matrix == "qkv":
        tensor, row, size = qkv_row(geometry, take.row)
        return Copy(tensor, row * size, size, take.warp)
    size = 2 * (shape.q_width if take.matrix == "out" else shape.hidden)
    return Copy(take.matrix, take.row * size, size, take.warp)


def _in_twos(geometry: Geometry, matrix: str, rows: Range) -> Iterator[Take]:
    for warp in range(geometry.warps):
        for first in range(2 * warp, rows.count, 2 * geometry.warps):
            for slot in range(first, min(first + 2, rows.count)):
                yield Take(slot, warp, matrix, rows.first + slot)


def _of_tiles(geometry: Geometry, tokens: Range) -> Iterator[Take]:
    tiles = -(-tokens.count // geometry.tile_tokens)
    for warp in range(geometry.warps):
        for tile in range(warp, tiles, geometry.warps):
            yield Take(tile, warp, "keys", tokens.first + tile * geometry.tile_tokens)


def _in_pairs(geometry: Geometry, pairs: Range) -> Iterator[Take]:
    for warp in range(geometry.warps):
        for before in range(0, pairs.count - warp, geometry.warps):
            in_round = min(geometry.warps, pairs.count - before)
            for half in (0, 1):
                slot, row = 4 * before + 2 * (half * in_round + warp), 2 * (pairs.first + before + warp) + half
                yield Take(slot, warp, "gate", row)
                yield Take(slot + 1, warp, "up", row)


def _in_pieces(geometry: Geometry, rows: Range) -> Iterator[Take]:
    at_once = min(geometry.pieces, geometry.warps)
    groups = geometry.warps // at_once
    for piece in range(geometry.pieces):
        round_start = piece // at_once * at_once
        for two in range(-(-rows.count // 2)):
            of_two = min(2, rows.count - 2 * two)
            slot = round_start * rows.count + 2 * at_once * two + of_two * (piece - round_start)
            warp = two % groups * at_once + piece - round_start
            for row in range(of_two):
                yield Take(slot + row, warp, "down", rows.first + 2 * two + row, piece)
