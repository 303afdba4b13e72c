"""How a model's step is laid out on a card: blocks, warps, and the slots of each warp's ring."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from runner.cell.shape import ModelShape
from runner.errors import BadValue
from runner.fused import sharedmemory

GRANULE = 8  # bf16 values in 16 bytes, what a lane reads at once
TILE_TOKENS = 16
FILLERS = 2
MOST_WARPS, LEAST_WARPS = 8 - FILLERS, 4  # of more than eight in all, a thread would have 168 registers instead of 255
MOST_GROUP = 8
MOST_SLOTS = 64
FLIGHT_BYTES = 73728
"""Bytes that a block keeps under way at once: enough for the memory's latency. More would delay other loads."""
BROUGHT = 20
STREAM_BYTES_PER_CLOCK = 19
"""Rate of the memory for one multiprocessor: 4.5 TB/s over 132 of them at 1.8 GHz (H200). A faster rate would queue."""
REMAINDER_BYTES = 8192
"""Shared memory that is reserved besides ring and input. A shape that needs more has a shorter ring."""


@dataclass(frozen=True)
class Card:
    """Properties of a GPU on which the layout depends."""

    multiprocessors: int
    shared_bytes: int
    """largest shared memory of one block, after opting in"""


@dataclass(frozen=True)
class Geometry:
    """Layout of a step. Each field is a constant of the compiled kernel (shape.cuh)."""

    shape: ModelShape
    blocks: int
    warps: int
    slots: int
    slot_bytes: int
    fillers: int
    """warps that fill the ring"""
    flights: int
    """copies of a filler that are under way at once, at most"""
    early_flights: int
    """the same while blocks exchange values, which then queue behind fewer copies"""
    brought: int
    """copies that a filler brings into the L2 while the ring is full"""
    bring_clocks: int
    """clocks between two of them"""
    pieces: int
    """parts of a row of the down projection"""
    shared_bytes: int

    def defines(self) -> dict[str, int]:
        """Returns the kernel's preprocessor constants."""
        shape = self.shape
        return {
            "LAYERS": shape.layers,
            "HIDDEN": shape.hidden,
            "INTERMEDIATE": shape.intermediate,
            "VOCAB": shape.vocab,
            "HEADS": shape.heads,
            "KV_HEADS": shape.kv_heads,
            "HEAD_DIM": shape.head_dim,
            "QKV_BIAS": int(shape.qkv_bias),
            "BLOCKS": self.blocks,
            "WARPS": self.warps,
            "SLOTS": self.slots,
            "SLOT_BYTES": self.slot_bytes,
            "FILLERS": self.fillers,
            "FLIGHTS": self.flights,
            "EARLY_FLIGHTS": self.early_flights,
            "BROUGHT": self.brought,
            "BRING_CLOCKS": self.bring_clocks,
            "PIECES": self.pieces,
            "LARGEST_SHARED": self.shared_bytes,
        }

    @property
    def tile_tokens(self) -> int:
        """Returns the tokens of a tile: as many as fit a slot with key and value."""
        return min(self.slot_bytes // (4 * self.shape.head_dim), TILE_TOKENS)

    @property
    def threads(self) -> int:
        return 32 * (self.warps + self.fillers)

    @property
    def most_splits(self) -> int:
        """Returns the largest number of blocks that share a key head."""
        return min(self.blocks // self.shape.kv_heads, 32)

    @property
    def qkv_rows(self) -> int:
        return self.shape.q_width + 2 * self.shape.kv_width


def choose(shape: ModelShape, card: Card) -> Geometry:
    """Returns the layout that keeps most bytes on their way. Raises BadValue if the shape does not fit the card."""
    _check(shape)
    blocks = min(card.multiprocessors, shape.hidden, shape.q_width // 2, shape.intermediate // 2)
    if blocks < shape.kv_heads:
        raise BadValue(f"runtime=fused needs at least kv_heads={shape.kv_heads} multiprocessors, not {blocks}")
    _check_rows(shape, blocks)
    fitting = list(_fitting(shape, card, blocks))
    if not fitting:
        raise BadValue(
            f"runtime=fused: the ring of hidden={shape.hidden}, intermediate={shape.intermediate} does not fit "
            f"{card.shared_bytes} bytes of shared memory"
        )
    return max(fitting, key=_bytes_ahead)


def _check(shape: ModelShape) -> None:
    rules = {
        f"hidden={shape.hidden}: it must be a multiple of {GRANULE}": shape.hidden % GRANULE,
        f"intermediate={shape.intermediate}: it must be a multiple of {GRANULE}": shape.intermediate % GRANULE,
        f"head_dim={shape.head_dim}: it must be a multiple of 32": shape.head_dim % 32,
        f"heads={shape.heads}: at most {MOST_GROUP} of them may share a key head": (
            shape.heads % shape.kv_heads or shape.heads // shape.kv_heads > MOST_GROUP
        ),
    }
    for message, broken in rules.items():
        if broken:
            raise BadValue(f"runtime=fused does not fit {message}")


def _check_rows(shape: ModelShape, blocks: int) -> None:
    """Raises BadValue if a block would have more rows of a matrix than its warps have lanes."""
    for dimension, rows in _rows_by_dimension(shape).items():
        if -(-rows // blocks) > 32 * MOST_WARPS:
            raise BadValue(
                f"runtime=fused does not fit {dimension}: {rows} rows need at least {-(-rows // (32 * MOST_WARPS))} "
                f"multiprocessors, not {blocks}"
            )


def _rows_by_dimension(shape: ModelShape) -> dict[str, int]:
    """Returns the rows of the matrices for each of which a block keeps a value in a lane."""
    return {
        f"heads={shape.heads}": shape.q_width + 2 * shape.kv_width,  # the bias of Wq, Wk and Wv
        f"hidden={shape.hidden}": shape.hidden,  # the sum of Wdown's pieces
    }


def _fitting(shape: ModelShape, card: Card, blocks: int) -> Iterator[Geometry]:
    most_rows = -(-max(_rows_by_dimension(shape).values()) // blocks)
    for warps in range(max(LEAST_WARPS, -(-most_rows // 32)), MOST_WARPS + 1):
        for pieces in (count for count in range(1, 2 * warps + 1) if warps % count == 0 or count == 2 * warps):
            of_slots = partial(_layout, shape, card, blocks, warps, pieces)
            yield from islice(filter(_fits, map(of_slots, _slot_counts(shape, card))), 1)


def _slot_counts(shape: ModelShape, card: Card) -> range:
    """Returns the numbers of slots to try, the largest first; each filler has as many."""
    room = card.shared_bytes - 2 * max(shape.hidden, shape.q_width) - REMAINDER_BYTES
    most = min(room // _slot_bytes(shape), MOST_SLOTS)
    return range(most // FILLERS * FILLERS, 0, -FILLERS)


def _fits(made: Geometry) -> bool:
    """Returns whether a copy may be under way, a piece fits a slot, and all that a block has fits its shared memory."""
    piece = piece_bytes(made.shape.intermediate, made.pieces)
    return made.flights >= 1 and piece <= made.slot_bytes and sharedmemory.needed_bytes(made) <= made.shared_bytes


def _layout(shape: ModelShape, card: Card, blocks: int, warps: int, pieces: int, slots: int) -> Geometry:
    slot_bytes = _slot_bytes(shape)
    flights = min(max(FLIGHT_BYTES // slot_bytes, FILLERS), slots - 2 * warps) // FILLERS
    return Geometry(
        shape=shape,
        blocks=blocks,
        warps=warps,
        slots=slots,
        slot_bytes=slot_bytes,
        fillers=FILLERS,
        flights=flights,
        early_flights=max(flights // 2, 1),
        brought=BROUGHT,
        bring_clocks=FILLERS * slot_bytes // STREAM_BYTES_PER_CLOCK,
        pieces=pieces,
        shared_bytes=card.shared_bytes,
    )


def _slot_bytes(shape: ModelShape) -> int:
    """Returns the bytes of a row of the input side, or of a whole tile of keys and values if that is much larger."""
    row, tile = 2 * max(shape.hidden, shape.q_width), TILE_TOKENS * 4 * shape.head_dim
    return -(-(row if 2 * row >= tile else tile) // 128) * 128


def piece_bytes(intermediate: int, pieces: int) -> int:
    """Returns the bytes of the longest piece of a row of the down projection; pieces are whole lines of 128 bytes."""
    line = 64 if intermediate % 64 == 0 else GRANULE
    return -(-intermediate // line // pieces) * line * 2


def _bytes_ahead(geometry: Geometry) -> tuple[float, int, int]:
    """Returns the bytes that the ring holds in the two long phases; equals go to fewer warps, and fewer pieces."""
    down = 2 * geometry.shape.intermediate / geometry.pieces
    return geometry.slots * (2 * geometry.shape.hidden + down), -geometry.warps, -geometry.pieces
