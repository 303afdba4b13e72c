"""Will the cell fit? Predicted from bytes before anything is downloaded or loaded."""

from __future__ import annotations

from runner import floors, registry
from runner.cell import Cell
from runner.errors import Infeasible
from runner.judgement import VERIFY_LIMIT_BYTES
from runner.protocol import Protocol
from runner.runtimes.eager import PREFILL_CHUNK_TOKENS
from runner.shape import ModelShape

# CUDA context, module code and the libraries' workspaces; on a CPU the interpreter with torch loaded
LIBRARY_BYTES = {"cuda": 10**9, "cpu": 5 * 10**8}


def prefill_bytes(shape: ModelShape, ctx: int, dtype_bytes: int) -> int:
    """Activations alive at once while a chunk of the prompt passes through one layer; an upper estimate.

    Per token of the chunk: residual, normed copy and the products of q, k, v, o (4 hidden-sized and 2
    head-sized rows), gate, up and their product (3 intermediate-sized rows), all in the cell's dtype; over
    the whole context: keys and values repeated for every query head, and one attention mask of chunk x ctx.
    Only the last token has logits.
    """
    chunk = min(ctx, PREFILL_CHUNK_TOKENS)
    rows = 4 * shape.hidden + 2 * (shape.q_width + shape.kv_width) + 3 * shape.intermediate
    repeated = 2 * shape.q_width * ctx
    mask = chunk * ctx
    return (chunk * rows + repeated + mask + shape.vocab) * dtype_bytes


def predicted_bytes(cell: Cell, shape: ModelShape, protocol: Protocol, device_kind: str) -> int:
    """Weights, allocated KV, verify, prefill's activations, libraries, all at once: an upper estimate."""
    dtype_bytes = floors.DTYPE_BYTES[cell.dtype]
    weights = registry.weight_format(cell.quant).weight_bytes(shape, dtype_bytes)
    positions = floors.kv_alloc_tokens(cell.ctx, protocol.warmup, protocol.steps)
    kv = positions * floors.kv_bytes_per_token(shape, dtype_bytes)
    transient = VERIFY_LIMIT_BYTES + prefill_bytes(shape, cell.ctx, dtype_bytes)
    return weights + kv + transient + LIBRARY_BYTES[device_kind]


def check(cell: Cell, shape: ModelShape, protocol: Protocol, device_kind: str, available_bytes: int) -> None:
    """Raises Infeasible when the prediction exceeds what the device has (a CPU: what is available now)."""
    needed = predicted_bytes(cell, shape, protocol, device_kind)
    if needed > available_bytes:
        raise Infeasible(
            f"{cell.title} needs about {needed / 1e9:.1f} GB (weights, KV cache, verification, workspace); "
            f"this device has {available_bytes / 1e9:.1f} GB: choose a smaller model, ctx or quant"
        )
