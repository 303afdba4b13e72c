"""A step's clocks by phase, from the stamps of an instrumented build (instruments.cuh)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from runner.fused.geometry import Geometry

PLACES = 16
"""Room for stamps of a block in a layer."""
OUTSIDE = ("starts", "head_normed", "has_logits", "has_chosen")
"""Stamps that belong to no layer, in the order of `Outside`."""
EXCHANGES = "exchanges"
BETWEEN_PLACES = (EXCHANGES, "qkv", "attention", "attention", EXCHANGES, "out", EXCHANGES, "gate_up", "down")
"""The phase between two neighbouring places of a layer (step.cu). A norm waits for the values of other blocks, and so
does the gathering of attention's outputs; waits inside the other phases count there."""
PHASES = ("qkv", "attention", "out", "gate_up", "down", "head", EXCHANGES)


def words(layout: Geometry) -> int:
    """Returns the number of stamps, [blocks][layers + 1][PLACES]."""
    return layout.blocks * (layout.shape.layers + 1) * PLACES


def clocks_by_phase(stamps: Sequence[int], layout: Geometry) -> dict[str, float]:
    """Returns the clocks of each phase in a step: means over the blocks, sums over the layers.

    The choice of the token comes on top, of the first block: it alone awaits what the others send.
    """
    layers = layout.shape.layers
    found = dict.fromkeys(PHASES, 0.0)
    rows = [stamps[i : i + PLACES] for i in range(0, len(stamps), PLACES)]
    for block in range(layout.blocks):
        *of_layers, outside = rows[block * (layers + 1) : (block + 1) * (layers + 1)]
        for phase, (start, end) in zip(_phases(layers), pairwise(_marks(of_layers, outside)), strict=True):
            found[phase] += (end - start) / layout.blocks
    has_logits, has_chosen = (rows[layers][OUTSIDE.index(name)] for name in ("has_logits", "has_chosen"))
    found[EXCHANGES] += has_chosen - has_logits
    return found


def _marks(of_layers: Sequence[Sequence[int]], outside: Sequence[int]) -> Iterator[int]:
    """Yields a block's stamps up to its logits, in the order of time."""
    yield outside[OUTSIDE.index("starts")]
    for places in of_layers:
        yield from places[: len(BETWEEN_PLACES) + 1]
    yield outside[OUTSIDE.index("head_normed")]
    yield outside[OUTSIDE.index("has_logits")]


def _phases(layers: int) -> Iterator[str]:
    """Yields the phase between each mark and the next."""
    yield EXCHANGES  # until the block has read its share and begun
    for _ in range(layers):
        yield from BETWEEN_PLACES
        yield EXCHANGES
    yield "head"
