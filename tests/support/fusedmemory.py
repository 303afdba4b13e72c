"""The memory of the fused step in NumPy: weights and cache in place, packets between blocks, the ring of a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from runner.fused import tensors
from runner.fused.launch import exchange_packets
from runner.fused.stepplan import Share, StepPlan
from runner.fused.tape import BESIDE

Floats = np.ndarray[Any, np.dtype[np.float32]]
Bits = np.ndarray[Any, np.dtype[np.uint16]]
"""bf16 values: the upper halves of floats"""
Epochs = np.ndarray[Any, np.dtype[np.int64]]

NAN_BITS = np.uint16(0x7FC0)
OF_TWO = {"attention", "activations"}
"""Buffers whose packets hold two bf16 values."""


class Stuck(Exception):
    """No block can go on. The kernel would give up and say what it waited for."""


def number(bits: Bits) -> Floats:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def rounded(values: Floats) -> Bits:
    """Returns the nearest bf16 values; of two that are equally near, the even one."""
    whole = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((whole + 0x7FFF + (whole >> 16 & 1)) >> 16).astype(np.uint16)


@dataclass(frozen=True)
class Weights:
    """A model's tensors and its static cache, flat, in place."""

    layers: list[dict[str, Bits]]
    embedding: Bits
    norm: Bits
    head: Bits
    cosines: Floats
    sines: Floats
    epsilon: np.float32

    @classmethod
    def of(cls, model: Any, cache: Any, epsilon: float) -> Weights:
        """Returns views of what the kernel would be given the addresses of."""
        layers = [{name: _bits(each) for name, each in layer.items()} for layer in tensors.of_layers(model, cache)]
        given = tensors.of_model(model, cache.layers[0].keys.shape[2])
        angles = (given[name].numpy() for name in ("cosines", "sines"))
        return cls(
            layers, *(_bits(given[name]) for name in ("embedding", "norm", "head")), *angles, np.float32(epsilon)
        )


def _bits(tensor: torch.Tensor) -> Bits:
    return tensor.detach().view(torch.uint16).numpy().reshape(-1)


class Buffers:
    """What blocks exchange: values with the epoch of their making. They stay from launch to launch."""

    def __init__(self, step: StepPlan) -> None:
        sizes = exchange_packets(step.geometry)
        self.values = {
            name: np.full((count, 2) if name in OF_TWO else count, np.nan, np.float32) for name, count in sizes.items()
        }
        self.epochs: dict[str, Epochs] = {name: np.zeros(count, np.int64) for name, count in sizes.items()}
        self.launches = 1
        self.sent = 0


class Ring:
    """Slots that are filled in the order of the tape, each as soon as it is free."""

    def __init__(self, step: StepPlan, share: Share, weights: Weights) -> None:
        self._values_at = step.geometry.tile_tokens * step.geometry.shape.head_dim
        self._memory: Bits = np.full((step.geometry.slots, step.geometry.slot_bytes // 2), NAN_BITS)
        self._holds: list[int | None] = [None] * step.geometry.slots
        self._tape = [(layer, copy) for layer in weights.layers for copy in share.layer]
        self._tape += [({"head": weights.head}, copy) for copy in share.head]
        self._next = 0
        self._fill()

    def read(self, n: int) -> Bits:
        """Returns the slot of copy n."""
        if self._holds[n % len(self._holds)] != n:
            raise Stuck(f"a warp waits for copy {n}")
        slot: Bits = self._memory[n % len(self._holds)]
        return slot

    def release(self, n: int) -> None:
        self._holds[n % len(self._holds)] = None
        self._fill()

    def _fill(self) -> None:
        while self._next < len(self._tape) and self._holds[slot := self._next % len(self._holds)] is None:
            layer, copy = self._tape[self._next]
            first, count = copy.offset // 2, copy.size // 2
            self._memory[slot, :count] = layer[copy.tensor][first : first + count]
            if copy.tensor in BESIDE:
                values = layer[BESIDE[copy.tensor]][first : first + count]
                self._memory[slot, self._values_at : self._values_at + count] = values
            self._holds[slot] = self._next
            self._next += 1
