"""The memory floor of a model's step on a GPU of the catalogue, whether it was measured or not."""

from __future__ import annotations

from dataclasses import dataclass

from runner import registry
from runner.cell import catalogue, floors
from runner.cell.catalogue import Gpu, Model
from runner.cell.vocabulary import checked_name
from runner.errors import BadValue
from runner.plan import fieldvalues

QUANTS = ("bf16", "gptq")
"""Weights of 16 bits, and of 4 bits in groups of 128."""
DTYPE_BYTES = floors.DTYPE_BYTES["bf16"]
DEFAULT_CTX = "2048"


@dataclass(frozen=True)
class Step:
    """The decode step of a model after `ctx` tokens."""

    model: Model
    ctx: int

    def floors_ms(self, gpu: Gpu) -> dict[str, float | None]:
        """Returns quant → milliseconds to stream `W - E + K` at the datasheet bandwidth, None without one."""
        return {quant: self._floor_ms(quant, gpu.bandwidth_gbs.value) for quant in QUANTS}

    def _floor_ms(self, quant: str, bandwidth_gbs: float | None) -> float | None:
        if bandwidth_gbs is None:
            return None
        streamed = registry.streamed_bytes(quant, self.model.shape, self.ctx, DTYPE_BYTES)
        return floors.floor_ms(streamed, bandwidth_gbs)


def step(model: str | None, ctx: str | None) -> Step | None:
    """Returns the step that is asked for, None without a model.

    Raises UnknownName for an unknown model, and BadValue for a ctx that is no whole number, beyond the model's
    positions, or without a model.
    """
    if model is None:
        if ctx is not None:
            raise BadValue("--ctx is of a model's step: add --model")
        return None
    chosen = catalogue.models()[checked_name("model", model, catalogue.models())]
    tokens = fieldvalues.number("ctx", DEFAULT_CTX if ctx is None else ctx)
    if tokens > chosen.shape.max_positions:
        most = chosen.shape.max_positions
        raise BadValue(f"ctx={tokens} goes beyond the {most} positions of {chosen.key}: choose at most {most}")
    return Step(chosen, tokens)
