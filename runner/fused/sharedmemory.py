"""The shared memory of a block, as `memory` in shape.cuh lays it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.fused.geometry import Geometry

SHARE_BYTES = 84  # plan::Share
LAYER_BYTES = 72  # plan::Layer


def needed_bytes(geometry: Geometry) -> int:
    """Returns the bytes that a block needs at least. Attention's join runs in up to four rounds to fit."""
    shape = geometry.shape
    join = geometry.warps * (shape.heads // shape.kv_heads) * shape.head_dim // 4 * 4
    return input_offset(geometry) + max(2 * max(shape.hidden, shape.q_width), join)


def input_offset(geometry: Geometry) -> int:
    """Returns where the input of a product lies: behind the ring and all that has a fixed size."""
    shape, warps = geometry.shape, geometry.warps
    most_rows = -(-shape.hidden // geometry.blocks)
    barriers = _aligned(geometry.slots * (geometry.slot_bytes + 2 * 8))
    query, fresh, angles = 2 * (shape.heads // shape.kv_heads) * shape.head_dim, 4 * shape.head_dim, 4 * shape.head_dim
    peaks, sums = 64 * warps, 4 * warps
    partial = _aligned(barriers + query + fresh + angles + peaks + sums)
    residual = _aligned(partial + 4 * most_rows * geometry.pieces)
    share = _aligned(residual + 4 * most_rows)
    return _aligned(_aligned(share + SHARE_BYTES) + LAYER_BYTES * shape.layers)


def _aligned(count: int) -> int:
    return -(-count // 16) * 16
