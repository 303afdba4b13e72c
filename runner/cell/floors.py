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
    """Returns `W`, the bytes of all weights as stored.

    `linear_bytes` returns the bytes of one linear layer by its rows and columns. Biases, norms, embedding and head take
    `dtype_bytes` per parameter. A tied embedding counts once.
    """
    linears = sum(linear_bytes(rows, columns) for rows, columns in shape.linear_shapes)
    embeddings = shape.embedding_parameters * (1 if shape.tied_embedding else 2)
    unquantised = shape.layers * shape.bias_parameters + shape.norm_parameters + embeddings
    return shape.layers * linears + unquantised * dtype_bytes


def embedding_bytes(shape: ModelShape, dtype_bytes: int) -> int:
    """Returns `E`, the bytes of the untied input embedding; 0 if the head shares it. A step reads one row of it."""
    return 0 if shape.tied_embedding else shape.embedding_parameters * dtype_bytes


def kv_bytes_per_token(shape: ModelShape, kv_dtype_bytes: int) -> int:
    """Returns the bytes of one position's keys and values: 2 · layers · kv_heads · head_dim · bytes."""
    return 2 * shape.layers * shape.kv_width * kv_dtype_bytes


def sequence_tokens(ctx: int, warmup: int, steps: int) -> int:
    """Returns the number of tokens of prompt and trace: enough for the timed passes and for the gate's positions."""
    return max(ctx + max(warmup + steps, GATE_STEPS), GATE_SHORT_CTX + GATE_STEPS)


def teacher_forced_steps(ctx: int, warmup: int, steps: int) -> int:
    """Returns the number of teacher-forced steps that the gate runs from the short context, and again from ctx: as many
    as there are tokens for, at most 32."""
    return min(GATE_MOST_STEPS, sequence_tokens(ctx, warmup, steps) - max(ctx, GATE_SHORT_CTX))


def last_position(ctx: int, warmup: int, steps: int) -> int:
    """Returns the position of the last of `steps` timed steps."""
    return ctx + warmup + steps - 1


def timed_positions(ctx: int, warmup: int, steps: int) -> range:
    """Returns the positions of the tokens that `steps` timed steps consume."""
    return range(ctx + warmup, last_position(ctx, warmup, steps) + 1)


def kv_alloc_tokens(ctx: int, warmup: int, steps: int) -> int:
    """Returns the number of positions that a static cache allocates: prompt and trace, rounded up to a multiple of
    64."""
    return -(-sequence_tokens(ctx, warmup, steps) // KV_ALLOC_GRANULE) * KV_ALLOC_GRANULE


def bytes_paper(weight_bytes: float, kv_bytes: float) -> float:
    """Returns the paper's `W + K`."""
    return weight_bytes + kv_bytes


def bytes_streamed(weight_bytes: float, embedding_bytes: float, kv_bytes: float) -> float:
    """Returns the bytes that a step must read: `W - E + K`."""
    return weight_bytes - embedding_bytes + kv_bytes


def read_probe_bytes(device_kind: str, cache_bytes: int | None, memory_bytes: int) -> int:
    """Returns the bytes of the read probe: 16 times the last-level cache; on a GPU at least 4 GiB or an eighth of its
    memory, whichever is less."""
    past_cache = PROBE_CACHES * (cache_bytes or UNKNOWN_CACHE_BYTES)
    return max(past_cache, min(PROBE_BYTES, memory_bytes // 8)) if device_kind == "cuda" else past_cache


def floor_ms(step_bytes: float, bandwidth_gbs: float) -> float:
    """Returns the milliseconds to stream `step_bytes` at `bandwidth_gbs` (decimal GB/s)."""
    return step_bytes / (bandwidth_gbs * 1e9) * 1e3
