"""Faults that tests plant in a step's plan. Each is a function that changes the plan's data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from runner.fused import exchanges, plan, turns
from runner.fused.plan import Range
from runner.fused.stepplan import Share, StepPlan
from runner.fused.tape import Copy

BLOCK = 3
Fault = Callable[[StepPlan], StepPlan]


def _in_block(step: StepPlan, share: Share) -> StepPlan:
    return replace(step, shares=(*step.shares[: share.block], share, *step.shares[share.block + 1 :]))


def _with_layer(step: StepPlan, block: int, layer: list[Copy]) -> StepPlan:
    return _in_block(step, replace(step.shares[block], layer=tuple(layer)))


def _with_shares(step: StepPlan, *shares: Share) -> StepPlan:
    """Puts shares into the plan, each with the tape for its ranges and its tokens."""
    for share in shares:
        takes = sorted((take for of in turns.of_layer(step.geometry, share).values() for take in of), key=_slot)
        layer, head = (
            tuple(turns.copy_of(step.geometry, share, step.cache_rows, take) for take in of)
            for of in (takes, turns.of_head(step.geometry, share))
        )
        step = _in_block(step, replace(share, layer=layer, head=head))
    return step


def _slot(take: turns.Take) -> int:
    return take.slot


def _ranged(share: Share, **ranges: Range) -> Share:
    return replace(share, ranges=share.ranges | ranges)


def _of(copies: list[Copy], tensor: str) -> list[int]:
    return [n for n, copy in enumerate(copies) if copy.tensor == tensor]


def piece_left_out(step: StepPlan) -> StepPlan:
    layer = list(step.shares[BLOCK].layer)
    del layer[_of(layer, "down")[1]]
    return _with_layer(step, BLOCK, layer)


def piece_read_twice(step: StepPlan) -> StepPlan:
    """The second piece comes in the place of the first one."""
    layer = list(step.shares[BLOCK].layer)
    first, second = _of(layer, "down")[:2]
    layer[first] = layer[second]._replace(warp=layer[first].warp)
    return _with_layer(step, BLOCK, layer)


def rows_swapped(step: StepPlan) -> StepPlan:
    """Every byte is read once, but two rows of Wq change places."""
    layer = list(step.shares[BLOCK].layer)
    first, second = _of(layer, "query")[:2]
    layer[first], layer[second] = layer[second], layer[first]
    return _with_layer(step, BLOCK, layer)


def gate_and_up_swapped(step: StepPlan) -> StepPlan:
    """Every byte is read once, but the block's rows of Wgate and Wup change places."""
    layer = list(step.shares[BLOCK].layer)
    for gate, up in zip(_of(layer, "gate"), _of(layer, "up"), strict=True):
        layer[gate], layer[up] = layer[up], layer[gate]
    return _with_layer(step, BLOCK, layer)


def head_range_doubled(step: StepPlan) -> StepPlan:
    """A block has its neighbour's rows of the head, and no block has its own."""
    return _with_shares(step, _ranged(step.shares[BLOCK], head=step.shares[BLOCK - 1].ranges[plan.HEAD]))


def output_range_doubled(step: StepPlan) -> StepPlan:
    """A block has its neighbour's outputs of attention, and no block has its own."""
    other = step.shares[BLOCK - 1].ranges[plan.OUTPUT_PAIRS]
    return _with_shares(step, _ranged(step.shares[BLOCK], output_pairs=other))


def oldest_token_left_out(step: StepPlan) -> StepPlan:
    """The first split of the first key head begins a token later."""
    share = step.shares[0]
    older = replace(share.tokens, range=Range(share.tokens.range.first + 1, share.tokens.range.stop))
    return _with_shares(step, replace(share, tokens=older))


def tile_of_another_head(step: StepPlan) -> StepPlan:
    """Two tiles of the first two key heads change places."""
    first, second = step.shares[0], step.shares[step.shares[0].tokens.splits]
    layers = [list(share.layer) for share in (first, second)]
    places = [_of(layer, "keys")[0] for layer in layers]
    layers[0][places[0]], layers[1][places[1]] = layers[1][places[1]], layers[0][places[0]]
    return _with_layer(_with_layer(step, first.block, layers[0]), second.block, layers[1])


def phases_reordered(step: StepPlan) -> StepPlan:
    """Blocks gather `hidden` for the MLP before they send what attention adds to it."""
    order = {phase.name: phase for phase in step.phases}
    names = (exchanges.QKV, exchanges.SPLIT, exchanges.JOIN, exchanges.GATE_UP, exchanges.OUT, exchanges.DOWN)
    return replace(step, phases=tuple(order[name] for name in names))


def gathered_too_early(step: StepPlan) -> StepPlan:
    """Wgate and Wup have the residual stream of the layer before."""
    return _awaited(step, exchanges.GATE_UP, "hidden", -1)


def gathered_too_late(step: StepPlan) -> StepPlan:
    """Wq, Wk and Wv wait for what Wo of the same layer sends: everyone waits for everyone."""
    return _awaited(step, exchanges.QKV, "hidden", 0)


def block_without_share(step: StepPlan) -> StepPlan:
    """A block leaves its rows of Wq, Wk and Wv and its outputs to its neighbour, so that nothing of it is waited for.

    The sums are the same. But the others may send `hidden` anew before the block has gathered what was there.
    """
    own, other = step.shares[BLOCK], step.shares[BLOCK - 1]
    names = (plan.QKV, plan.OUTPUT_PAIRS)
    both = {name: Range(other.ranges[name].first, own.ranges[name].stop) for name in names}
    none = {name: Range(own.ranges[name].stop, own.ranges[name].stop) for name in names}
    return _with_shares(step, _ranged(own, **none), _ranged(other, **both))


def _awaited(step: StepPlan, reader: str, buffer: str, half: int) -> StepPlan:
    return replace(
        step,
        exchanges=tuple(
            replace(each, awaited=half) if (each.reader, each.buffer) == (reader, buffer) else each
            for each in step.exchanges
        ),
    )


FAULTS: dict[str, Fault] = {
    fault.__name__.replace("_", "-"): fault
    for fault in (
        *(piece_left_out, piece_read_twice, rows_swapped, gate_and_up_swapped, head_range_doubled),
        *(output_range_doubled, oldest_token_left_out, tile_of_another_head),
        *(phases_reordered, gathered_too_early, gathered_too_late, block_without_share),
    )
}
