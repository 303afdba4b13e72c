"""Memory prediction: whether a cell fits, computed from bytes before anything is downloaded or loaded."""

from __future__ import annotations

from runner import registry
from runner.cell import catalogue, floors
from runner.cell.cell import Cell
from runner.cell.protocol import Protocol
from runner.cell.scheme import Scheme
from runner.cell.shape import ModelShape
from runner.cell.vocabulary import CPU
from runner.errors import Infeasible
from runner.machine import host
from runner.record.judgement import VERIFY_LIMIT_BYTES

# cuda: context, module code and library workspaces; cpu: the interpreter with torch loaded
LIBRARY_BYTES = {"cuda": 10**9, "cpu": 5 * 10**8}

MODEL_NEED = ("weights, KV cache, verification, workspace", "choose a smaller model, ctx or quant")
PROBE_NEED = ("the bandwidth probe reads 16 times the last-level cache", "free some of it")


def prefill_bytes(shape: ModelShape, ctx: int, dtype_bytes: int, chunk_tokens: int) -> int:
    """Returns an upper estimate of the activation bytes alive while one prompt chunk passes one layer.

    Per token of the chunk: residual, normed copy and the products of q, k, v, o (4 hidden-sized and 2 head-sized rows),
    and gate, up and their product (3 intermediate-sized rows). Over the whole context: keys and values repeated for
    every query head, and one attention mask of chunk x ctx. Only the last token has logits. All are in the cell's
    dtype.
    """
    chunk = min(ctx, chunk_tokens)
    rows = 4 * shape.hidden + 2 * (shape.q_width + shape.kv_width) + 3 * shape.intermediate
    repeated = 2 * shape.q_width * ctx
    mask = chunk * ctx
    return (chunk * rows + repeated + mask + shape.vocab) * dtype_bytes


def model_bytes(cell: Cell, shape: ModelShape, scheme: Scheme | None, protocol: Protocol) -> int:
    """Returns the bytes of weights, allocated KV cache, verification and prefill activations together.

    Packed weights add one unpacked layer: a layer exists unpacked before it is packed, and some kernels dequantise a
    matrix for the prompt.
    """
    dtype_bytes = floors.DTYPE_BYTES[cell.dtype]
    weights = registry.weight_bytes(cell.quant, scheme, shape, dtype_bytes)
    if scheme is not None:
        weights += sum(rows * columns for rows, columns in shape.linear_shapes) * dtype_bytes
    positions = floors.kv_alloc_tokens(cell.ctx, protocol.warmup, protocol.steps)
    kv = positions * floors.kv_bytes_per_token(shape, dtype_bytes)
    chunk_tokens = registry.runtime(cell.runtime).DECLARATION.prefill_chunk_tokens
    return weights + kv + VERIFY_LIMIT_BYTES + prefill_bytes(shape, cell.ctx, dtype_bytes, chunk_tokens)


def predicted_bytes(
    cell: Cell, shape: ModelShape, scheme: Scheme | None, protocol: Protocol, device_kind: str, probe: int
) -> int:
    """Returns the peak bytes of a session: the libraries plus the larger of probe buffer and model.

    The probe buffer is freed before the model is built.
    """
    return LIBRARY_BYTES[device_kind] + max(probe, model_bytes(cell, shape, scheme, protocol))


def check(
    cell: Cell,
    shape: ModelShape,
    scheme: Scheme | None,
    protocol: Protocol,
    device_kind: str,
    available_bytes: int,
) -> None:
    """Raises Infeasible if the predicted bytes exceed `available_bytes`.

    On a GPU that is the card's memory, on a CPU the memory available now.
    """
    probe = floors.read_probe_bytes(device_kind, _cache_bytes(cell.gpu), available_bytes)
    needed = predicted_bytes(cell, shape, scheme, protocol, device_kind, probe)
    if needed > available_bytes:
        contents, remedy = PROBE_NEED if probe > model_bytes(cell, shape, scheme, protocol) else MODEL_NEED
        raise Infeasible(
            f"{cell.title} needs about {needed / 1e9:.1f} GB ({contents}); "
            f"this device has {available_bytes / 1e9:.1f} GB{_sharing(cell.gpu)}: {remedy}"
        )


def _sharing(gpu: str) -> str:
    """Returns a remark on memory that the CPU uses, too."""
    entry = catalogue.gpus().get(gpu)
    return " (shared with the CPU; all of it is assumed to be free)" if entry and entry.shared_memory else ""


def _cache_bytes(gpu: str) -> int | None:
    """Returns the bytes of the last-level cache, or None if unknown.

    For a GPU the catalogue's figure is used; only the worker queries the card.
    """
    if gpu == CPU:
        return host.last_level_cache_bytes()
    entry = catalogue.gpus().get(gpu)
    mebibytes = entry.l2_mib.value if entry else None
    return None if mebibytes is None else int(mebibytes * 2**20)
