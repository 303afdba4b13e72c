"""The fused step in NumPy. It executes a plan as the kernel does, so that a plan can be tried without a GPU.

Begin with `Block.run`: the phases of a step, one method each, in the words of the CUDA sources. A block is a generator.
It yields while packets that it waits for are not there yet, and fusedorder.py lets the blocks go on in any order. The
arithmetic is the kernel's where it rounds: sums are float32; inputs of products, queries, keys, values, weights of
tokens, outputs of attention and activations are bf16. Only the order of additions differs.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from runner.fused import exchanges, packets, plan, turns
from runner.fused.stepplan import Share, StepPlan
from runner.fused.tape import piece_start
from runner.fused.turns import Take
from tests.support.fusedattention import LOWEST, Sums, joined, rotated
from tests.support.fusedmemory import Bits, Buffers, Epochs, Floats, Ring, Weights, number, rounded

Truths = np.ndarray[Any, np.dtype[np.bool_]]
T = TypeVar("T")
Waits = Generator[str | None, None, T]
"""Yields what a block waits for, or None where it pauses, and returns what it waited for."""


@dataclass
class Block:
    """One block. `layer` is the one that it is in."""

    step: StepPlan
    share: Share
    weights: Weights
    buffers: Buffers
    logits: Floats
    token: int
    chosen: int | None = None
    layer: int = 0
    input: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    scale: np.float32 = field(default_factory=lambda: np.float32(1))

    def __post_init__(self) -> None:
        self.geometry, self.shape = self.step.geometry, self.step.geometry.shape
        self.group = self.shape.heads // self.shape.kv_heads
        self.takes = turns.of_layer(self.geometry, self.share) | {
            exchanges.HEAD: turns.of_head(self.geometry, self.share)
        }
        self.layer_slots = sum(len(takes) for phase, takes in self.takes.items() if phase != exchanges.HEAD)
        self.ring = Ring(self.step, self.share, self.weights)
        self.own = self.share.ranges[plan.ROWS]
        self.residual = self.embedded()[self.own.first : self.own.stop].copy()

    def run(self) -> Waits[None]:
        for layer in range(self.shape.layers):
            self.layer = layer
            for phase in self.step.phases:
                yield None
                yield from getattr(self, phase.name)()
        for phase in self.step.end:
            yield None
            yield from getattr(self, phase.name)()

    # The phases.

    def qkv(self) -> Waits[None]:
        """hidden → queries, keys and values, before the rotation"""
        hidden = self.embedded() if self.layer == 0 else (yield from self.gather(exchanges.QKV))["hidden"]
        self.norm(hidden, self.of_layer("input_norm"))
        bias = self.bias()
        for take, row in self.slots(exchanges.QKV):
            self.send(exchanges.QKV, "qkv", take.row, self.scale * self.product(row) + bias[take.row])

    def split(self) -> Waits[None]:
        """queries → the weighted sum of the values of the block's tokens"""
        tokens, d = self.share.tokens, self.shape.head_dim
        if tokens.head >= self.shape.kv_heads:
            return
        qkv = (yield from self.gather(exchanges.SPLIT))["qkv"]
        first = tokens.head * self.group * d
        heads = qkv[first : first + self.group * d].reshape(self.group, d)
        queries = number(rounded(self.rotated(heads, 1.4426950408889634 / np.sqrt(d))))  # for exp2
        sums = [Sums.of_nothing(self.group, d) for _ in range(self.geometry.warps)]
        for take, slot in self.slots(exchanges.SPLIT):
            values_at = self.geometry.tile_tokens * d
            count = min(self.geometry.tile_tokens, tokens.range.stop - take.row)
            tile = (slot[: count * d], slot[values_at : values_at + count * d])
            sums[take.warp].add(queries, *self.seen(take, *(number(part).reshape(count, d) for part in tile)))
        if tokens.split == tokens.splits - 1:
            self.add_newest(sums[0], queries, qkv)
        self.join_warps(sums)

    def join(self) -> Waits[None]:
        """the splits' sums → the block's own outputs of attention"""
        found = yield from self.gather(exchanges.JOIN)
        parts = found["parts"].reshape(-1, self.shape.q_width)
        weights = found["weights"].reshape(-1, self.shape.heads, 2)
        pairs = self.share.ranges[plan.OUTPUT_PAIRS]
        for pair in range(pairs.first, pairs.stop):
            largest, total = weights[: self.joined_splits(), 2 * pair // self.shape.head_dim].T
            sums = joined(largest, total, parts[: self.joined_splits(), 2 * pair : 2 * pair + 2])
            self.send(exchanges.JOIN, "attention", pair, number(rounded(sums.out / sums.total)))

    def out(self) -> Waits[None]:
        """outputs of attention → hidden"""
        self.input = (yield from self.gather(exchanges.OUT))["attention"].reshape(-1)
        for take, row in self.slots(exchanges.OUT):
            self.add_and_send(exchanges.OUT, take.row, self.product(row))

    def gate_up(self) -> Waits[None]:
        """hidden → activations"""
        hidden = (yield from self.gather(exchanges.GATE_UP))["hidden"]
        self.norm(hidden, self.of_layer("output_norm"))
        made: dict[int, np.float32] = {}  # row → activation
        gate = np.float32(0)
        for take, row in self.slots(exchanges.GATE_UP):
            product = self.scale * self.product(row)
            if take.matrix == "gate":
                gate = product
                continue
            made[take.row] = gate / (1 + np.exp(-gate)) * product
            if take.row % 2:
                two = np.array([made[take.row - 1], made[take.row]])
                self.send(exchanges.GATE_UP, "activations", take.row // 2, number(rounded(two)))

    def down(self) -> Waits[None]:
        """activations → hidden"""
        activations = (yield from self.gather(exchanges.DOWN))["activations"].reshape(-1)
        partial = np.full((self.own.count, self.geometry.pieces), np.nan, np.float32)
        for take, piece in self.slots(exchanges.DOWN):
            first, stop = (piece_start(self.geometry, take.piece + edge) // 2 for edge in (0, 1))
            self.input = activations[first:stop]
            partial[take.row - self.own.first, take.piece] = self.product(piece)
        for row, total in enumerate(self.added_up(partial), self.own.first):
            self.add_and_send(exchanges.DOWN, row, total)

    def head(self) -> Waits[None]:
        """hidden → logits"""
        self.norm((yield from self.gather(exchanges.HEAD))["hidden"], self.weights.norm)
        best = (LOWEST, 0)
        for take, row in self.slots(exchanges.HEAD):
            self.logits[take.row] = self.scale * self.product(row)
            best = max(best, (self.logits[take.row], -take.row))
        self.send(exchanges.HEAD, "choices", 2 * self.share.block, best[0])
        self.send(exchanges.HEAD, "choices", 2 * self.share.block + 1, np.float32(-best[1]))

    def choose(self) -> Waits[None]:
        """the blocks' best logits → the token; of equals the lowest one"""
        found = yield from self.gather(exchanges.CHOOSE)
        if self.share.block == 0:
            self.chosen = int(-max((logit, -token) for logit, token in found["choices"].reshape(-1, 2))[1])

    # What phases are made of.

    def gather(self, phase: str) -> Waits[dict[str, Floats]]:
        """Waits for packets. Returns each buffer, NaN where nothing was waited for."""
        found = {}
        for buffer, ranges in packets.gathered(phase, self.geometry, self.share).items():
            half = next(each.awaited for each in self.step.exchanges if (each.buffer, each.reader) == (buffer, phase))
            found[buffer] = np.full_like(self.buffers.values[buffer], np.nan)
            missing = np.array(sorted({packet for each in ranges for packet in each}), dtype=int)
            while missing.size:
                there = self.fits(self.buffers.epochs[buffer][missing], self.epoch(half))
                found[buffer][missing[there]] = self.buffers.values[buffer][missing[there]]
                missing = missing[~there]
                if missing.size:
                    yield f"{phase} of layer {self.layer} in block {self.share.block} waits for {buffer}"
        return found

    def fits(self, epochs: Epochs, epoch: int) -> Truths:
        """Returns which packets have the value that is waited for."""
        return np.equal(epochs, epoch)

    def send(self, phase: str, buffer: str, packet: int | slice, value: Floats | np.float32) -> None:
        half = next(each.sent for each in self.step.exchanges if (each.buffer, each.sender) == (buffer, phase))
        self.buffers.values[buffer][packet] = value
        self.buffers.epochs[buffer][packet] = self.epoch(half)
        self.buffers.sent += 1

    def epoch(self, half: int) -> int:
        return 2 * (self.buffers.launches * self.shape.layers + self.layer) + half

    def slots(self, phase: str) -> Generator[tuple[Take, Bits], None, None]:
        """Yields the slots of a phase in order, with what a warp takes each of them for."""
        first = self.layer_slots * (self.shape.layers if phase == exchanges.HEAD else self.layer)
        for take in self.takes[phase]:
            yield take, self.ring.read(first + take.slot)
            self.ring.release(first + take.slot)

    def of_layer(self, name: str) -> Bits:
        return self.weights.layers[self.layer][name]

    def embedded(self) -> Floats:
        return number(self.weights.embedding[self.token * self.shape.hidden :][: self.shape.hidden])

    def norm(self, hidden: Floats, weight: Bits) -> None:
        """Makes the input of the next products. They are multiplied by the scale."""
        self.input = number(rounded(hidden * number(weight)))
        self.scale = np.float32(1) / np.sqrt(np.mean(hidden * hidden) + self.weights.epsilon)

    def product(self, row: Bits) -> np.float32:
        return np.float32(number(row[: self.input.size]) @ self.input)

    def bias(self) -> Floats:
        if not self.shape.qkv_bias:
            return np.zeros(self.geometry.qkv_rows, np.float32)
        return number(np.concatenate([self.of_layer(f"{name}_bias") for name in ("query", "key", "value")]))

    def position(self) -> int:
        """Returns the position whose angles the token has."""
        return self.step.tokens

    def rotated(self, heads: Floats, scale: float) -> Floats:
        cosine, sine = (table[self.position()] for table in (self.weights.cosines, self.weights.sines))
        return rotated(heads, cosine * np.float32(scale), sine * np.float32(scale))

    def seen(self, _take: Take, keys: Floats, values: Floats) -> tuple[Floats, Floats]:
        """Returns the tokens of a tile that attention sees: all."""
        return keys, values

    def add_newest(self, sums: Sums, queries: Floats, qkv: Floats) -> None:
        """Adds this step's own token, and writes its row of the cache."""
        d, head = self.shape.head_dim, self.share.tokens.head
        key, value = (
            qkv[start + head * d :][:d] for start in (self.shape.q_width, self.shape.q_width + self.shape.kv_width)
        )
        bits = {"keys": rounded(self.rotated(key, 1)), "values": rounded(value)}
        for name, row in bits.items():
            first = (head * self.step.cache_rows + self.step.tokens) * d
            self.of_layer(name)[first : first + d] = row
        sums.add(queries, *(number(row)[None] for row in bits.values()))

    def join_warps(self, sums: list[Sums]) -> None:
        tokens, shape = self.share.tokens, self.shape
        arrays = ([getattr(each, name) for each in sums] for name in ("largest", "total", "out"))
        block = joined(*map(np.array, arrays))
        first = tokens.split * shape.heads + tokens.head * self.group
        self.send(
            exchanges.SPLIT,
            "weights",
            slice(2 * first, 2 * (first + self.group)),
            np.stack([block.largest, block.total], axis=1).reshape(-1),
        )
        places = slice(first * shape.head_dim, (first + self.group) * shape.head_dim)
        self.send(exchanges.SPLIT, "parts", places, block.out.reshape(-1))

    def joined_splits(self) -> int:
        return self.share.tokens.splits

    def added_up(self, partial: Floats) -> Floats:
        return np.sum(partial, axis=1, dtype=np.float32)

    def add_and_send(self, phase: str, row: int, value: np.float32) -> None:
        self.residual[row - self.own.first] += value
        self.send(phase, "hidden", row, self.residual[row - self.own.first])
