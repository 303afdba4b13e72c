"""The fused step in NumPy. It executes a plan as the kernel does, so that a plan can be tried without a GPU.

Begin with `Block.run`: the phases of a step, one method each, in the words of the CUDA sources. A block is a generator.
It yields while packets that it waits for are not there yet, and `run` lets the blocks go on in a random order. The
arithmetic is the kernel's where it rounds: sums are float32; inputs of products, queries, keys, values, weights of
tokens, outputs of attention and activations are bf16. Only the order of additions differs.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch

from runner.fused import exchanges, packets, plan, tensors, turns
from runner.fused.launch import exchange_packets
from runner.fused.stepplan import Share, StepPlan
from runner.fused.tape import BESIDE, piece_start
from runner.fused.turns import Take

Floats = np.ndarray[Any, np.dtype[np.float32]]
Bits = np.ndarray[Any, np.dtype[np.uint16]]
"""bf16 values: the upper halves of floats"""
Epochs = np.ndarray[Any, np.dtype[np.int64]]
Truths = np.ndarray[Any, np.dtype[np.bool_]]
T = TypeVar("T")
Waits = Generator[str | None, None, T]
"""Yields what a block waits for, or None where it pauses, and returns what it waited for."""

NAN_BITS = np.uint16(0x7FC0)
LOWEST = np.float32(-1e30)
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
        given = tensors.of_model(model, layers[0]["keys"].size)
        angles = (given[name].numpy() for name in ("cosines", "sines"))
        return cls(
            layers, *(_bits(given[name]) for name in ("embedding", "norm", "head")), *angles, np.float32(epsilon)
        )


def _bits(tensor: torch.Tensor) -> Bits:
    return tensor.detach().view(torch.uint16).numpy().reshape(-1)


class Buffers:
    """What blocks exchange: values with the epoch of their making. They stay from launch to launch."""

    def __init__(self, sizes: dict[str, int]) -> None:
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
        self._memory = np.full((step.geometry.slots, step.geometry.slot_bytes // 2), NAN_BITS)
        self._holds: list[int | None] = [None] * step.geometry.slots
        self._tape = [(layer, copy) for layer in weights.layers for copy in share.layer]
        self._tape += [({"head": weights.head}, copy) for copy in share.head]
        self._next = 0
        self._fill()

    def read(self, n: int) -> Bits:
        """Returns the slot of copy n."""
        if self._holds[n % len(self._holds)] != n:
            raise Stuck(f"a warp waits for copy {n}")
        return self._memory[n % len(self._holds)]

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


@dataclass
class Sums:
    """Running sums of a warp over its tokens, for each query head of the group."""

    largest: Floats
    total: Floats
    out: Floats

    def add(self, queries: Floats, keys: Floats, values: Floats) -> None:
        """Adds tokens: keys and values [tokens, head_dim]. Weights of tokens are powers of two."""
        scores = queries @ keys.T
        largest = np.maximum(self.largest, scores.max(axis=1))
        shrink, weights = np.exp2(self.largest - largest), np.exp2(scores - largest[:, None])
        self.total = self.total * shrink + weights.sum(axis=1)
        self.out = self.out * shrink[:, None] + number(rounded(weights)) @ values
        self.largest = largest


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
        scale = np.float32(1.4426950408889634 / np.sqrt(d))
        heads = qkv[first : first + self.group * d].reshape(self.group, d)
        queries = number(rounded(self.rotated(heads, scale)))
        sums = [
            Sums(np.full(self.group, LOWEST), np.zeros(self.group, np.float32), np.zeros((self.group, d), np.float32))
            for _ in range(self.geometry.warps)
        ]
        for take, slot in self.slots(exchanges.SPLIT):
            count, values_at = self.tile(take), self.geometry.tile_tokens * d
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
            factor = np.exp2(largest - largest.max())
            outputs = factor @ parts[: self.joined_splits(), 2 * pair : 2 * pair + 2] / (factor @ total)
            self.send(exchanges.JOIN, "attention", pair, number(rounded(outputs)))

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
        for take, row in self.slots(exchanges.DOWN):
            first, stop = (piece_start(self.geometry, take.piece + edge) // 2 for edge in (0, 1))
            self.input = activations[first:stop]
            partial[take.row - self.own.first, take.piece] = self.product(row)
        for row, total in enumerate(self.added_up(partial)):
            self.add_and_send(exchanges.DOWN, self.own.first + row, total)

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
        return epochs == epoch

    def send(self, phase: str, buffer: str, packet: int, value: Floats | np.float32) -> None:
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

    def rotated(self, heads: Floats, scale: np.float32) -> Floats:
        cosine, sine = self.weights.cosines[self.position()] * scale, self.weights.sines[self.position()] * scale
        a, b = np.split(heads, 2, axis=-1)
        return np.concatenate([a * cosine - b * sine, b * cosine + a * sine], axis=-1)

    def tile(self, take: Take) -> int:
        """Returns how many tokens a tile has."""
        return min(self.geometry.tile_tokens, self.share.tokens.range.stop - take.row)

    def seen(self, _take: Take, keys: Floats, values: Floats) -> tuple[Floats, Floats]:
        """Returns the tokens of a tile that attention sees: all."""
        return keys, values

    def add_newest(self, sums: Sums, queries: Floats, qkv: Floats) -> None:
        """Adds this step's own token, and writes its row of the cache."""
        d, head = self.shape.head_dim, self.share.tokens.head
        key, value = (
            qkv[start + head * d :][:d] for start in (self.shape.q_width, self.shape.q_width + self.shape.kv_width)
        )
        bits = {"keys": rounded(self.rotated(key, np.float32(1))), "values": rounded(value)}
        for name, row in bits.items():
            first = (head * self.step.cache_rows + self.step.tokens) * d
            self.of_layer(name)[first : first + d] = row
        sums.add(queries, *(number(row)[None] for row in bits.values()))

    def join_warps(self, sums: list[Sums]) -> None:
        tokens, d = self.share.tokens, self.shape.head_dim
        largest = np.max([each.largest for each in sums], axis=0)
        factors = [np.exp2(each.largest - largest) for each in sums]
        total = sum(each.total * factor for each, factor in zip(sums, factors, strict=True))
        out = sum(each.out * factor[:, None] for each, factor in zip(sums, factors, strict=True))
        for i in range(self.group):
            head = tokens.head * self.group + i
            weight, part = 2 * (tokens.split * self.shape.heads + head), tokens.split * self.shape.q_width + head * d
            self.send(exchanges.SPLIT, "weights", weight, largest[i])
            self.send(exchanges.SPLIT, "weights", weight + 1, total[i])
            for dimension in range(d):
                self.send(exchanges.SPLIT, "parts", part + dimension, out[i, dimension])

    def joined_splits(self) -> int:
        return self.share.tokens.splits

    def added_up(self, partial: Floats) -> Floats:
        return partial.sum(axis=1)

    def add_and_send(self, phase: str, row: int, value: np.float32) -> None:
        self.residual[row - self.own.first] += value
        self.send(phase, "hidden", row, self.residual[row - self.own.first])


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


def buffers_of(step: StepPlan) -> Buffers:
    return Buffers(exchange_packets(step.geometry))
