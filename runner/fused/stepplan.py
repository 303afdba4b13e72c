"""The whole plan of a step as data: each block's ranges and tape, and the order of phases and exchanges."""

from __future__ import annotations

from dataclasses import dataclass

from runner.fused import plan, tape
from runner.fused.exchanges import END, EXCHANGES, LAYER, Exchange, Phase
from runner.fused.geometry import Geometry
from runner.fused.plan import Range
from runner.fused.tape import Copy, Tokens


@dataclass(frozen=True)
class Share:
    """A block's part of a step."""

    block: int
    ranges: dict[str, Range]
    tokens: Tokens
    """older tokens of one key head"""
    layer: tuple[Copy, ...]
    """its tape for each layer"""
    head: tuple[Copy, ...]
    """its tape behind the last layer"""


@dataclass(frozen=True)
class StepPlan:
    """A step with `tokens` older tokens, in a cache that has room for `cache_rows`."""

    geometry: Geometry
    tokens: int
    cache_rows: int
    shares: tuple[Share, ...]
    phases: tuple[Phase, ...] = LAYER
    end: tuple[Phase, ...] = END
    exchanges: tuple[Exchange, ...] = EXCHANGES


def make(geometry: Geometry, tokens: int, cache_rows: int) -> StepPlan:
    """Returns the plan that the kernel follows."""
    shares = tuple(
        Share(
            block,
            plan.of_block(geometry, block),
            tape.tokens_of(geometry, block, tokens),
            tuple(tape.of_layer(geometry, block, tokens, cache_rows)),
            tuple(tape.of_head(geometry, block)),
        )
        for block in range(geometry.blocks)
    )
    return StepPlan(geometry, tokens, cache_rows, shares)
