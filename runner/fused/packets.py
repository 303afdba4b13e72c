"""The packets of each buffer that a block sends and gathers in a phase. They follow from its ranges and its tokens."""

from __future__ import annotations

from collections.abc import Callable

from runner.fused import exchanges, plan
from runner.fused.geometry import Geometry
from runner.fused.stepplan import Share
from runner.fused.tape import piece_start

Packets = dict[str, list[range]]
"""Buffer → numbers of its packets. A packet that several warps gather is there several times."""


def sent(phase: str, geometry: Geometry, share: Share) -> Packets:
    """Returns the packets that a block sends in a phase."""
    rows = [_of(share, plan.ROWS)]
    table: dict[str, Callable[[], Packets]] = {
        exchanges.QKV: lambda: {"qkv": [_of(share, plan.QKV)]},
        exchanges.SPLIT: lambda: _split(geometry, share),
        exchanges.JOIN: lambda: {"attention": [_of(share, plan.OUTPUT_PAIRS)]},
        exchanges.OUT: lambda: {"hidden": rows},
        exchanges.GATE_UP: lambda: {"activations": [_of(share, plan.PAIRS)]},
        exchanges.DOWN: lambda: {"hidden": rows},
        exchanges.HEAD: lambda: {"choices": [range(2 * share.block, 2 * share.block + 2)]},
    }
    return table[phase]() if phase in table else {}


def gathered(phase: str, geometry: Geometry, share: Share) -> Packets:
    """Returns the packets that a block gathers in a phase. In layer 0, `qkv` gathers none."""
    shape = geometry.shape
    hidden = {"hidden": [range(shape.hidden)]}
    table: dict[str, Callable[[], Packets]] = {
        exchanges.QKV: lambda: hidden,
        exchanges.SPLIT: lambda: _queries(geometry, share),
        exchanges.JOIN: lambda: _parts(geometry, share),
        exchanges.OUT: lambda: {"attention": [range(shape.q_width // 2)]},
        exchanges.GATE_UP: lambda: hidden,
        exchanges.DOWN: lambda: _pieces(geometry, share),
        exchanges.HEAD: lambda: hidden,
        exchanges.CHOOSE: lambda: {} if share.block else {"choices": [range(2 * geometry.blocks)]},
    }
    return table[phase]()


def _of(share: Share, name: str) -> range:
    return range(share.ranges[name].first, share.ranges[name].stop)


def _heads(geometry: Geometry, share: Share) -> range:
    """Returns the query heads of the block's key head."""
    group = geometry.shape.heads // geometry.shape.kv_heads
    return range(share.tokens.head * group, (share.tokens.head + 1) * group)


def _split(geometry: Geometry, share: Share) -> Packets:
    """Returns packets of weighted sums of values, and of two numbers for each head: largest score and total."""
    shape, split, heads = geometry.shape, share.tokens.split, _heads(geometry, share)
    if share.tokens.head >= shape.kv_heads:
        return {}
    part, weight = split * shape.q_width, split * shape.heads
    return {
        "parts": [range(part + heads.start * shape.head_dim, part + heads.stop * shape.head_dim)],
        "weights": [range(2 * (weight + heads.start), 2 * (weight + heads.stop))],
    }


def _queries(geometry: Geometry, share: Share) -> Packets:
    """Returns packets of the group's queries. The last split also has the new key and the new value."""
    shape, heads, tokens = geometry.shape, _heads(geometry, share), share.tokens
    if tokens.head >= shape.kv_heads:
        return {}
    found = [range(heads.start * shape.head_dim, heads.stop * shape.head_dim)]
    if tokens.split == tokens.splits - 1:
        for start in (shape.q_width, shape.q_width + shape.kv_width):
            first = start + tokens.head * shape.head_dim
            found.append(range(first, first + shape.head_dim))
    return {"qkv": found}


def _parts(geometry: Geometry, share: Share) -> Packets:
    """Returns packets of all splits for the block's own pairs of outputs, and for the head of each pair."""
    shape, pairs, splits = geometry.shape, _of(share, plan.OUTPUT_PAIRS), range(share.tokens.splits)
    heads = [2 * pair // shape.head_dim for pair in pairs]
    return {
        "parts": [
            range(split * shape.q_width + 2 * pairs.start, split * shape.q_width + 2 * pairs.stop) for split in splits
        ],
        "weights": [
            range(2 * (split * shape.heads + head), 2 * (split * shape.heads + head + 1))
            for split in splits
            for head in heads
        ],
    }


def _pieces(geometry: Geometry, share: Share) -> Packets:
    """Returns packets of the activations that belong to the pieces of the down projection, for each warp with rows."""
    at_once = min(geometry.pieces, geometry.warps)
    groups = min(geometry.warps // at_once, -(-share.ranges[plan.ROWS].count // 2))
    edges = [piece_start(geometry, piece) // 4 for piece in range(geometry.pieces + 1)]  # 4 bytes make a packet
    return {"activations": [range(*edges[piece : piece + 2]) for piece in range(geometry.pieces)] * groups}
