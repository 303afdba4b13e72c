"""The shared memory of a block, as `memory` in shape.cuh lays it out."""

from __future__ import annotations

from runner.fused.geometry import Geometry

SHARE_BYTES = 84  # plan::Share
LAYER_BYTES = 72  # plan::Layer


def needed_bytes(geometry: Geometry) -> int:
    """Returns the bytes that a block needs at least: attention's join runs in as many as four rounds to fit."""
    shape, rows = geometry.shape, -(-geometry.shape.hidden // geometry.blocks)
    group = shape.heads // shape.kv_heads
    join = geometry.warps * group * shape.head_dim // 4 * 4
    return input_offset(geometry, rows) + max(2 * max(shape.hidden, shape.q_width), join)


def input_offset(geometry: Geometry, most_rows: int) -> int:
    """Returns where the input of a product lies: behind the ring and everything of a fixed size."""
    shape, warps = geometry.shape, geometry.warps
    group = shape.heads // shape.kv_heads
    barriers = _aligned(geometry.slots * (geometry.slot_bytes + 2 * 8))
    query, fresh, angles = 2 * group * shape.head_dim, 4 * shape.head_dim, 4 * shape.head_dim
    peaks, sums = 64 * warps, 4 * warps
    at = _aligned(barriers + query + fresh + angles + peaks + sums)
    at = _aligned(at + 4 * most_rows * geometry.pieces)  # sums of pieces
    at = _aligned(at + 4 * most_rows)  # residual
    at = _aligned(at + SHARE_BYTES)
    return _aligned(at + LAYER_BYTES * shape.layers)


def _aligned(count: int) -> int:
    return -(-count // 16) * 16
