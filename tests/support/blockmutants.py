"""Mutants of the interpreter's arithmetic: each is a block of the fused step that does one thing wrong."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np

from runner.fused.turns import Take
from tests.support.fusedattention import Sums
from tests.support.fusedinterpreter import Block, Truths
from tests.support.fusedmemory import Bits, Epochs, Floats


class NewestDropped(Block):
    """Writes its token's row of the cache, but does not attend to it."""

    def add_newest(self, sums: Sums, queries: Floats, qkv: Floats) -> None:
        super().add_newest(deepcopy(sums), queries, qkv)


class OldestDropped(Block):
    def seen(self, take: Take, keys: Floats, values: Floats) -> tuple[Floats, Floats]:
        return (keys[1:], values[1:]) if take.row == 0 else (keys, values)


class RotatedOffByOne(Block):
    def position(self) -> int:
        return super().position() + 1


class KeyHeadSwapped(Block):
    """Reads the next key head's tiles."""

    def __post_init__(self) -> None:
        head_bytes = 2 * self.step.cache_rows * self.step.geometry.shape.head_dim
        moved = head_bytes * ((self.share.tokens.head + 1) % self.step.geometry.shape.kv_heads)
        self.share = replace(
            self.share,
            layer=tuple(
                copy._replace(offset=copy.offset % head_bytes + moved) if copy.tensor == "keys" else copy
                for copy in self.share.layer
            ),
        )
        super().__post_init__()


class WithoutBias(Block):
    def bias(self) -> Floats:
        return np.zeros_like(super().bias())


class WithoutNorm(Block):
    """Multiplies by the norm's weight, but not by its scale."""

    def norm(self, hidden: Floats, weight: Bits) -> None:
        super().norm(hidden, weight)
        self.scale = np.float32(1)


class StaleInput(Block):
    """Multiplies Wgate and Wup by the input of Wo, which is as long in `tiny`."""

    def norm(self, hidden: Floats, weight: Bits) -> None:
        before = self.input
        super().norm(hidden, weight)
        if weight is self.of_layer("output_norm"):
            self.input = before


class PieceSkipped(Block):
    """Adds up all pieces of its rows of Wdown but the last one."""

    def added_up(self, partial: Floats) -> Floats:
        return super().added_up(partial[:, :-1])


class SplitLeftOut(Block):
    """Joins all splits but the last one."""

    def joined_splits(self) -> int:
        return super().joined_splits() - 1


class EpochNotAwaited(Block):
    """Takes what is in the buffers."""

    def fits(self, epochs: Epochs, epoch: int) -> Truths:
        return np.ones_like(super().fits(epochs, epoch))
