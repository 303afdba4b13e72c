"""Checks the exchanges of a plan: every packet awaited is sent, and none is overwritten before its last reader has it.

Blocks have no barrier between them. A block knows how far another one is from the packets that it has, for these were
sent behind everything that the sender had gathered before, and its own knowledge came with them. So each packet counts
for a clock of all blocks. The check goes through the phases in order and hands these clocks on. Between two launches
everything is in order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from runner.fused import exchanges, packets
from runner.fused.exchanges import Phase
from runner.fused.stepplan import StepPlan

ENOUGH_LAYERS = 2
"""The second layer overwrites all that the first one left, and is behind a layer like every further one."""
UNKNOWN = -1

Clock = tuple[int, ...]
"""For each block: number of the last phase whose packets it is known to have gathered."""


@dataclass(frozen=True)
class Sent:
    """A run of packets as its buffer holds it."""

    epoch: int
    sender: int
    clock: Clock


@dataclass
class State:
    """The check's knowledge between two phases. Packets of one sender that the same blocks gather are one run."""

    buffers: dict[str, dict[int, Sent]] = field(default_factory=lambda: defaultdict(dict))
    readers: dict[str, dict[int, dict[int, int]]] = field(default_factory=lambda: defaultdict(dict))
    """buffer → run → block that gathered it since it was sent → number of the phase"""
    behind_barrier: list[Clock] = field(default_factory=list)
    """what all warps of a block know"""
    gathered: list[Clock] = field(default_factory=list)
    """what at least one of its warps knows"""


def problems(plan: StepPlan) -> list[str]:
    """Returns a line for each kind of fault of each phase."""
    return list(dict.fromkeys(_faults(plan)))


def _faults(plan: StepPlan) -> Iterator[str]:
    blocks = len(plan.shares)
    nothing = (UNKNOWN,) * blocks
    state = State(behind_barrier=[nothing] * blocks, gathered=[nothing] * blocks)
    layers = min(plan.geometry.shape.layers, ENOUGH_LAYERS)
    steps = [(layer, phase) for layer in range(layers) for phase in plan.phases]
    steps += [(layers - 1, phase) for phase in plan.end]
    cuts = _cuts(plan)
    for number, (layer, phase) in enumerate(steps):
        if not (layer == 0 and phase.name == exchanges.QKV):
            gathered = [_runs(cuts, packets.gathered(phase.name, plan.geometry, share)) for share in plan.shares]
            yield from _gather(plan, state, number, layer, phase, gathered)
        sent = [_runs(cuts, packets.sent(phase.name, plan.geometry, share)) for share in plan.shares]
        yield from _send(plan, state, layer, phase, sent)


def _cuts(plan: StepPlan) -> dict[str, list[int]]:
    """Returns for each buffer the packets at which a range that some block sends or gathers begins or ends."""
    found: dict[str, set[int]] = defaultdict(set)
    for phase in (*plan.phases, *plan.end):
        for share in plan.shares:
            for of in (packets.sent, packets.gathered):
                for buffer, ranges in of(phase.name, plan.geometry, share).items():
                    found[buffer].update(edge for each in ranges for edge in (each.start, each.stop))
    return {buffer: sorted(edges) for buffer, edges in found.items()}


def _runs(cuts: dict[str, list[int]], of: packets.Packets) -> dict[str, set[int]]:
    return {
        buffer: {
            run
            for each in ranges
            for run in range(bisect_left(cuts[buffer], each.start), bisect_left(cuts[buffer], each.stop))
        }
        for buffer, ranges in of.items()
    }


def _gather(
    plan: StepPlan, state: State, number: int, layer: int, phase: Phase, gathered: list[dict[str, set[int]]]
) -> Iterator[str]:
    awaited = {each.buffer: 2 * layer + each.awaited for each in plan.exchanges if each.reader == phase.name}
    joined: dict[frozenset[tuple[str, int]], Clock] = {}  # most blocks gather the same
    for block, of_block in enumerate(gathered):
        known = {}
        for buffer, runs in of_block.items():
            held = {run: state.buffers[buffer].get(run) for run in runs}
            if any(sent is None or sent.epoch != awaited.get(buffer) for sent in held.values()):
                yield f"{phase.name} gathers packets of {buffer} in an epoch in which no block sends them"
            for run, sent in held.items():
                state.readers[buffer].setdefault(run, {})[block] = number
                if sent is not None:
                    known[buffer, sent.sender] = sent.clock
        key = frozenset(known)
        if known and key not in joined:
            joined[key] = _later(*known.values())
        state.gathered[block] = _later(state.gathered[block], joined.get(key, state.gathered[block]))
        if phase.has_barrier and of_block:  # blocks without a split have none there
            clock = state.gathered[block]
            state.gathered[block] = state.behind_barrier[block] = (*clock[:block], number, *clock[block + 1 :])


def _send(plan: StepPlan, state: State, layer: int, phase: Phase, sent: list[dict[str, set[int]]]) -> Iterator[str]:
    epochs = {each.buffer: 2 * layer + each.sent for each in plan.exchanges if each.sender == phase.name}
    new: dict[tuple[str, int], Sent] = {}
    for block, of_block in enumerate(sent):
        clock = state.behind_barrier[block]
        for buffer, runs in of_block.items():
            for run in runs:
                if (buffer, run) in new:
                    yield f"{phase.name}: two blocks send the same packets of {buffer}"
                readers = state.readers[buffer].pop(run, {})
                if any(clock[reader] < number for reader, number in readers.items()):
                    yield f"{phase.name} may overwrite {buffer} before another block has gathered it"
                new[buffer, run] = Sent(epochs.get(buffer, UNKNOWN), block, clock)
    for (buffer, run), made in new.items():
        state.buffers[buffer][run] = made


def _later(*clocks: Clock) -> Clock:
    return tuple(map(max, *clocks)) if len(clocks) > 1 else clocks[0]
