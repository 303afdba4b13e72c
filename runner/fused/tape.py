"""The tape of a warp: every copy that a step makes for it, in order. The same as run_of in plan.cuh, in Python.

The kernel computes its tape itself. Tests hold the two against each other, and the model's bytes against the tape.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runner.fused import plan
from runner.fused.geometry import GRANULE, Geometry
from runner.fused.plan import Range

LAYER_PHASES = ("query", "key", "value", "keys", "out", "gate", "down")
HEAD_PHASE = "head"
PHASES = (*LAYER_PHASES, HEAD_PHASE)
"""Phases in order, each by the tensor of its first copy (`Layer::first` in plan.cuh)."""
BESIDE = {"keys": "values", "gate": "up"}
"""The tensor that is read together with, or in turn with, a phase's first one."""


@dataclass(frozen=True)
class Run:
    """Slots of a warp in one phase: `count` copies of `size` bytes, `stride` bytes apart; the last one has `last`."""

    offset: int
    count: int
    size: int
    last: int
    stride: int


@dataclass(frozen=True)
class Copy:
    """Bytes of one tensor of one layer; the head belongs to layer 0."""

    layer: int
    tensor: str
    offset: int
    size: int


def splits(geometry: Geometry, tokens: int) -> int:
    """Returns how many blocks share a key head: only as many as give each of their warps a tile."""
    wanted = -(-tokens // (geometry.tile_tokens * geometry.warps))
    return max(1, min(wanted, geometry.most_splits))


def tokens_of(geometry: Geometry, block: int, warp: int, tokens: int) -> tuple[int, Range]:
    """Returns the block's key head, and the warp's share of the `tokens` older tokens; none beyond the last head."""
    count = splits(geometry, tokens)
    head, split = divmod(block, count)
    if head >= geometry.shape.kv_heads:
        return head, Range(0, 0)
    first, stop = tokens * split // count, tokens * (split + 1) // count
    tile, tiles = geometry.tile_tokens, -(-(stop - first) // geometry.tile_tokens)
    edges = (first + tiles * edge // geometry.warps * tile for edge in (warp, warp + 1))
    return head, Range(*(min(edge, stop) for edge in edges))


def piece_start(geometry: Geometry, piece: int) -> int:
    """Returns the first byte of a piece of a row of the down projection."""
    line = 64 if geometry.shape.intermediate % 64 == 0 else GRANULE
    return geometry.shape.intermediate // line * piece // geometry.pieces * line * 2


def run_of(geometry: Geometry, phase: str, block: int, warp: int, tokens: int, cache_rows: int) -> Run:
    """Returns a warp's run in a phase, with `tokens` older tokens in a cache that has room for `cache_rows`."""
    shape, ranges = geometry.shape, plan.of_block(geometry, block)[warp]
    wide = 2 * shape.hidden
    starts = {"query": 0, "key": shape.q_width, "value": shape.q_width + shape.kv_width}
    if phase in starts:
        rows = shape.q_width if phase == "query" else shape.kv_width
        stacked = ranges[plan.QKV]
        first, stop = (min(max(edge - starts[phase], 0), rows) for edge in (stacked.first, stacked.stop))
        return _rows(first, stop, wide)
    if phase == "keys":
        return _cache_run(geometry, block, warp, tokens, cache_rows)
    if phase == "out":
        return _rows(ranges[plan.OUT].first, ranges[plan.OUT].stop, 2 * shape.q_width)
    if phase == "gate":
        run = _rows(2 * ranges[plan.PAIRS].first, 2 * ranges[plan.PAIRS].stop, wide)
        return Run(run.offset, 2 * run.count, wide, wide, wide)
    if phase == "down":
        return _down_run(geometry, warp, ranges[plan.DOWN])
    return _rows(ranges[plan.HEAD].first, ranges[plan.HEAD].stop, wide)


def _rows(first: int, stop: int, size: int) -> Run:
    return Run(first * size, stop - first, size, size, size)


def _cache_run(geometry: Geometry, block: int, warp: int, tokens: int, cache_rows: int) -> Run:
    head, share = tokens_of(geometry, block, warp, tokens)
    row = 2 * geometry.shape.head_dim
    tiles = -(-(share.stop - share.first) // geometry.tile_tokens)
    last = share.stop - share.first - (tiles - 1) * geometry.tile_tokens
    size = geometry.tile_tokens * row
    return Run((head * cache_rows + share.first) * row, tiles, size, last * row, size)


def _down_run(geometry: Geometry, warp: int, rows: Range) -> Run:
    whole, piece = _rows(rows.first, rows.stop, 2 * geometry.shape.intermediate), warp % geometry.pieces
    start, stop = (piece_start(geometry, edge) for edge in (piece, piece + 1))
    return Run(whole.offset + start, whole.count, stop - start, stop - start, whole.stride)


def copies(geometry: Geometry, block: int, warp: int, tokens: int, cache_rows: int) -> Iterator[Copy]:
    """Yields the copies of one step for a warp, in order."""
    runs = {phase: run_of(geometry, phase, block, warp, tokens, cache_rows) for phase in PHASES}
    for layer in range(geometry.shape.layers):
        for phase in LAYER_PHASES:
            yield from _copies_of(layer, phase, runs[phase])
    yield from _copies_of(0, HEAD_PHASE, runs[HEAD_PHASE])


def _copies_of(layer: int, phase: str, run: Run) -> Iterator[Copy]:
    for slot in range(run.count):
        size = run.last if slot == run.count - 1 else run.size
        if phase == "gate":
            yield Copy(layer, ("gate", "up")[slot % 2], run.offset + slot // 2 * run.stride, size)
            continue
        for tensor in (phase, *([BESIDE[phase]] if phase in BESIDE else [])):
            yield Copy(layer, tensor, run.offset + slot * run.stride, size)
