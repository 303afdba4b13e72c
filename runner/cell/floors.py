"""Byte accounting and the analytic memory floor of one decode step (docs/methodology.md, "Bytes and floors").

`W` = bytes of all weights as stored, `E` = bytes of the input embedding when it is not tied to the head, `K` = bytes of
the KV cache at ctx. A step must read `W - E + K`; the paper (arXiv 2605.30571) counts `W + K`.
"""

from __future__ import annotations

from collections.abc import Callable

from runner.cell.shape import ModelShape

DTYPE_BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}
KV_ALLOC_GRANULE = 64
GATE_SHORT_CTX = 17
GATE_STEPS = 8
GATE_MOST_STEPS = 32
PROBE_CACHES = 16
PROBE_BYTES = 4 * 2**30
PROBE_SAMPLES = 5
UNKNOWN_CACHE_BYTES = 2**25


def weight_bytes(shape: ModelShape, dtype_bytes: int, linear_bytes: Callable[[int, int], int]) -> int:
    """`W`: the layers' linear weights, of which `linear_bytes` gives one's by its rows and columns, and biases, norms,
    embedding and head of `dtype_bytes` each; a tied embedding counts once."""
    linears = sum(linear_bytes(rows, columns) for rows, columns in shape.linear_shapes)
    embeddings = shape.embedding_parameters * (1 if shape.tied_embedding else 2)
    others = shape.layers * shape.bias_parameters + shape.norm_parameters + embeddings
    return shape.layers * linears + others * dtype_bytes


def embedding_bytes(shape: ModelShape, dtype_bytes: int) -> int:
    """`E`: the untied input embedding, of which a step reads one row; 0 when the head shares it."""
    return 0 if shape.tied_embedding else shape.embedding_parameters * dtype_bytes


def kv_bytes_per_token(shape: ModelShape, kv_dtype_bytes: int) -> int:
    """Bytes of keys and values that one position occupies: 2 · layers · kv_heads · head_dim · bytes."""
    return 2 * shape.layers * shape.kv_width * kv_dtype_bytes


def sequence_tokens(ctx: int, warmup: int, steps: int) -> int:
    """Length of prompt and trace: what the timed passes read, and at least what the gate's positions need."""
    return max(ctx + max(warmup + steps, GATE_STEPS), GATE_SHORT_CTX + GATE_STEPS)


def driven_steps(ctx: int, warmup: int, steps: int) -> int:
    """How many teacher-forced steps the gate drives from the short context, and as many from ctx: all that the tokens
    allow, at most 32."""
    return min(GATE_MOST_STEPS, sequence_tokens(ctx, warmup, steps) - max(ctx, GATE_SHORT_CTX))


def last_position(ctx: int, warmup: int, steps: int) -> int:
    """Where every timed pass ends."""
    return ctx + warmup + steps - 1


def timed_positions(ctx: int, warmup: int, steps: int) -> range:
    """The positions of the tokens that the timed steps of every pass consume."""
    return range(ctx + warmup, last_position(ctx, warmup, steps) + 1)


def kv_alloc_tokens(ctx: int, warmup: int, steps: int) -> int:
    """Positions a static cache allocates: prompt and trace, rounded up to a multiple of 64."""
    return -(-sequence_tokens(ctx, warmup, steps) // KV_ALLOC_GRANULE) * KV_ALLOC_GRANULE


def bytes_paper(weight_bytes: float, kv_bytes: float) -> float:
    """The paper's `W + K`."""
    return weight_bytes + kv_bytes


def bytes_streamed(weight_bytes: float, embedding_bytes: float, kv_bytes: float) -> float:
    """What a step must really read: `W - E + K`."""
    return weight_bytes - embedding_bytes + kv_bytes


def read_probe_bytes(device_kind: str, cache_bytes: int | None, memory_bytes: int) -> int:
    """What the read probe reads: 16 times the last-level cache, on a card at least 4 GiB or an eighth of its memory."""
    at_least = PROBE_CACHES * (cache_bytes or UNKNOWN_CACHE_BYTES)
    return max(at_least, min(PROBE_BYTES, memory_bytes // 8)) if device_kind == "cuda" else at_least


def floor_ms(step_bytes: float, bandwidth_gbs: float) -> float:
    """Milliseconds to stream `step_bytes` at `bandwidth_gbs` (decimal GB/s)."""
    return step_bytes / (bandwidth_gbs * 1e9) * 1e3
