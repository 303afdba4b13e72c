"""The order in which the blocks of the fused step go on: any that their waiting allows."""

from __future__ import annotations

import numpy as np

from runner.fused.stepplan import StepPlan
from tests.support.fusedinterpreter import Block
from tests.support.fusedmemory import Buffers, Floats, Stuck, Weights


def run(
    step: StepPlan,
    weights: Weights,
    buffers: Buffers,
    token: int,
    seed: int,
    kind: type[Block] = Block,
    late: int | None = None,
) -> tuple[Floats, int]:
    """Runs a step that consumes `token`. Returns its logits and the chosen token.

    Blocks go on in an order that is drawn with the seed; the block `late` only when all others wait. Raises Stuck if no
    block can go on.
    """
    order = np.random.default_rng(seed)
    logits = np.full(step.geometry.shape.vocab, np.nan, np.float32)
    blocks = [kind(step, share, weights, buffers, logits, token) for share in step.shares]
    running = {block.share.block: block.run() for block in blocks}
    waiting: dict[int, str] = {}  # since the last packet was sent
    while running:
        if waiting.keys() == running.keys():
            raise Stuck("; ".join(sorted(set(waiting.values()))[:3]))
        ready = sorted(running.keys() - waiting.keys())
        turn, sent = int(order.choice([each for each in ready if each != late] or ready)), buffers.sent
        try:
            if (awaited := next(running[turn])) is not None:
                waiting[turn] = awaited
        except StopIteration:
            del running[turn]
        if buffers.sent != sent:
            waiting.clear()
    buffers.launches += 1
    assert blocks[0].chosen is not None
    return logits, blocks[0].chosen
