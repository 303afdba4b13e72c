"""The bytes that a step reads, from its plan: each byte of the model and the cache once, and what is read again."""

from __future__ import annotations

from runner.fused import exchanges, packets
from runner.fused.stepplan import StepPlan
from runner.fused.tape import BESIDE

PACKET_BYTES = 8


def distinct(plan: StepPlan) -> dict[str, int]:
    """Returns the bytes of each part of the model and of the cache: together W − E + K (runner/cell/floors.py).

    Norms and biases are not on the tape.
    """
    shape = plan.geometry.shape
    copies = [copy for share in plan.shares for copy in share.layer]
    cache = sum(copy.size * (1 + (copy.tensor in BESIDE)) for copy in copies if copy.tensor == "keys")
    return {
        "matrices": shape.layers * sum(copy.size for copy in copies if copy.tensor != "keys"),
        "cache": shape.layers * cache,
        "head": sum(copy.size for share in plan.shares for copy in share.head),
        "norms": 2 * shape.norm_parameters,
        "biases": 2 * shape.layers * shape.bias_parameters,
    }


def repeated(plan: StepPlan) -> dict[str, int]:
    """Returns the bytes that blocks read besides: what each block needs for itself, and packets that it gathers.

    Packets are counted once for each warp that gathers them; a warp asks again for those that are not there yet.
    """
    shape, blocks = plan.geometry.shape, plan.geometry.blocks
    return {
        "norms": (blocks - 1) * 2 * shape.norm_parameters,
        "embedding's row": (blocks + 1) * 2 * shape.hidden,
        "angles": blocks * 4 * shape.head_dim,
        **{f"packets: {phase}": count for phase, count in _gathered(plan).items()},
    }


def _gathered(plan: StepPlan) -> dict[str, int]:
    """Returns the bytes of packets that all blocks gather in each phase of a step."""
    layers = plan.geometry.shape.layers
    times = {phase.name: layers for phase in plan.phases} | {phase.name: 1 for phase in plan.end}
    times[exchanges.QKV] -= 1  # layer 0 has the embedding's row
    return {
        phase: PACKET_BYTES
        * count
        * sum(
            len(each)
            for share in plan.shares
            for ranges in packets.gathered(phase, plan.geometry, share).values()
            for each in ranges
        )
        for phase, count in times.items()
    }
