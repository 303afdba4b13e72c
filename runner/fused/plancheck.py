"""Checks a step's plan: all that a step has to read, once, by the warp that takes it for what it is, in a safe order.

A plan is right if no line is returned. It needs no GPU.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import TypeAlias

from runner.fused import exchangecheck, exchanges, plan, sharedmemory, turns
from runner.fused.geometry import Geometry
from runner.fused.stepplan import Share, StepPlan
from runner.fused.tape import BESIDE, Copy

MATRICES = ("query", "key", "value", "out", "gate", "up", "down")
PHASE_OF = {
    **dict.fromkeys(("query", "key", "value"), exchanges.QKV),
    **dict.fromkeys(("gate", "up"), exchanges.GATE_UP),
    "keys": exchanges.SPLIT,
    "out": exchanges.OUT,
    "down": exchanges.DOWN,
}
"""Tensor on the tape → the phase that reads it."""
Spans: TypeAlias = dict[str, list[tuple[int, int]]]
"""Tensor → the bytes [first, last) of it that all blocks read, sorted."""


def problems(step: StepPlan) -> list[str]:
    """Returns a line for each fault that is found."""
    spans = _spans(step)
    of_spans = (*_bytes(step, spans), *_tokens(step, spans))
    return [*of_spans, *_slots(step), *_rounds(step), *_memory(step), *exchangecheck.problems(step)]


def _sizes(step: StepPlan) -> dict[str, int]:
    """Returns the bytes of each matrix of a layer, and of the head."""
    shape = step.geometry.shape
    shapes = dict(zip(MATRICES, shape.linear_shapes, strict=True)) | {"head": (shape.vocab, shape.hidden)}
    return {name: 2 * rows * columns for name, (rows, columns) in shapes.items()}


def _spans(step: StepPlan) -> Spans:
    """Returns the spans of each tensor of a layer, and of the head."""
    found = defaultdict(list)
    for share in step.shares:
        for copy in (*share.layer, *share.head):
            for tensor in (copy.tensor, *([BESIDE[copy.tensor]] if copy.tensor in BESIDE else [])):
                found[tensor].append((copy.offset, copy.offset + copy.size))
    return {tensor: sorted(read) for tensor, read in found.items()}


def _bytes(step: StepPlan, found: Spans) -> Iterator[str]:
    """Yields a line for each matrix of which a byte is not read once."""
    for matrix, size in _sizes(step).items():
        read = found.get(matrix, [])
        edges = [(0, 0), *read, (size, size)]
        if any(before[1] != after[0] for before, after in pairwise(edges)):
            yield f"{matrix}: not every byte is read exactly once"
    for share in step.shares:
        for copy in (*share.layer, *share.head):
            if copy.size <= 0 or copy.size % 16 or copy.offset % 16:
                yield f"block {share.block}: {copy} is not made of granules of 16 bytes"


def _tokens(step: StepPlan, found: Spans) -> Iterator[str]:
    """Yields a line for each key head of which an older token is not read once."""
    row = 2 * step.geometry.shape.head_dim
    for tensor in ("keys", "values"):
        rows = [at // row for first, last in found.get(tensor, []) for at in range(first, last, row)]
        for head in range(step.geometry.shape.kv_heads):
            first = head * step.cache_rows
            of_head = [row - first for row in rows if first <= row < first + step.cache_rows]
            if of_head != list(range(step.tokens)):
                yield f"{tensor} of head {head}: not every older token is read exactly once"


def _slots(step: StepPlan) -> Iterator[str]:
    """Yields a line for the first slot of each block that has not what its reader takes it for, or not its reader."""
    geometry = step.geometry
    for share in step.shares:
        of_layer = [take for takes in turns.of_layer(geometry, share).values() for take in takes]
        for part, tape, takes in (
            ("layer", share.layer, of_layer),
            ("head", share.head, turns.of_head(geometry, share)),
        ):
            expected = {take.slot: turns.copy_of(geometry, share, step.cache_rows, take) for take in takes}
            if len(expected) != len(takes):
                yield f"block {share.block}, {part}: two warps read the same slot"
            if len(tape) != len(takes):
                yield f"block {share.block}, {part}: {len(tape)} slots are filled and {len(takes)} are read"
            wrong = [n for n, copy in enumerate(tape) if expected.get(n) not in (None, copy)]
            if wrong:
                yield f"block {share.block}, {part}, slot {wrong[0]}: {tape[wrong[0]]} instead of {expected[wrong[0]]}"


def _rounds(step: StepPlan) -> Iterator[str]:
    """Yields a line for each block in which a warp may wait for a slot while its round is two ahead.

    A barrier's parity tells a round from the one before alone (ring.cuh). When a warp waits for copy n, copy n − slots
    has landed: it belongs to an earlier phase, behind which there is a barrier, or its filler had to wait for it before
    it asked for a copy that the warp has used already.
    """
    geometry = step.geometry
    if geometry.slots % geometry.fillers:
        yield f"{geometry.slots} slots: a slot has more than one of {geometry.fillers} fillers"
        return
    for share in step.shares:
        if not all(_tells_rounds(geometry, tape) for tape in _between_barriers(geometry, share)):
            yield f"block {share.block}: a warp may wait for a slot whose round is two ahead"


def _tells_rounds(geometry: Geometry, copies: list[Copy]) -> bool:
    """Returns whether a parity is enough within copies that no barrier divides."""
    used: dict[tuple[int, int], int] = {}  # the last copy that a warp has used of a filler
    for n, copy in enumerate(copies):
        before = n - geometry.slots
        last = used.get((copy.warp, n % geometry.fillers))
        if before >= 0 and (last is None or before > last - geometry.flights * geometry.fillers):
            return False
        used[copy.warp, n % geometry.fillers] = n
    return True


def _between_barriers(geometry: Geometry, share: Share) -> Iterator[list[Copy]]:
    """Yields a block's copies from barrier to barrier: by phase, and in the down projection by round of pieces."""
    by_phase = defaultdict(list)
    for copy in share.layer:
        by_phase[PHASE_OF[copy.tensor]].append(copy)
    down = by_phase.pop(exchanges.DOWN, [])
    of_round = max(share.ranges[plan.ROWS].count, 1) * min(geometry.pieces, geometry.warps)
    yield from by_phase.values()
    yield from (down[first : first + of_round] for first in range(0, len(down), of_round))
    yield list(share.head)


def _memory(step: StepPlan) -> Iterator[str]:
    geometry = step.geometry
    if max(copy.size for share in step.shares for copy in (*share.layer, *share.head)) > geometry.slot_bytes:
        yield f"a copy is longer than a slot of {geometry.slot_bytes} bytes"
    needed = sharedmemory.needed_bytes(geometry)
    if needed > geometry.shared_bytes:
        yield f"a block needs {needed} bytes of shared memory, and the card has {geometry.shared_bytes}"
