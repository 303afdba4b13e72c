"""Limits of the device memory in use while a step is built: the format's bytes, the KV cache, and the declared
workspace.

These limits concern memory in use, not memory traffic: a matrix may lie on the device and never be read.
"""

from __future__ import annotations

from collections.abc import Iterator

from runner import registry
from runner.cell import floors
from runner.cell.fieldtypes import value_or_none
from runner.record.sessionrecord import MeasuredRecord

TOLERANCE = 0.02
BASE_WORKSPACE_BYTES = 2**25
"""Rounding of torch's allocator, and the code of kernels that are loaded when they first run: 10 to 46 MB with models
of 7B."""
REPACKED_SHARE = 0.95
"""Smallest share of packed weights that a repacked copy takes. Marlin drops zero points and the order of inputs."""
FREED_BY_COMPILER_BYTES = 40 * 2**20
"""Most bytes that torch.compile frees of what was in use before the weights: cuBLAS workspaces, 33 MiB on an H200."""
SCRATCH = "scratch_bytes"
"""An engine's setting: the bytes that it allocated for its own intermediates."""


def allowed_bytes(record: MeasuredRecord) -> dict[str, int]:
    """Returns the most bytes that may be in use after each stage, without the tolerance."""
    kernel = registry.kernel(record.cell.kernel).DECLARATION
    runtime = registry.runtime(record.cell.runtime).DECLARATION
    loaded = record.bytes.weights + BASE_WORKSPACE_BYTES
    with_kernel = loaded + (0 if runtime.owns_model else kernel.workspace_bytes(record.model.shape))
    step = with_kernel + _kv_bytes(record) + runtime.workspace_bytes + _scratch_bytes(record)
    return {"weights": loaded, "kernel": with_kernel, "step": step}


def reasons(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each stage at which more bytes are in use than allowed.

    The device's own figure includes other processes, so it counts only if NVML reported none.
    """
    held = value_or_none(record.memory.held_bytes)
    if held is None:  # absent on a CPU and in older records
        return
    accounts = ("allocator", "device") if _is_alone(record) else ("allocator",)
    for stage, most in allowed_bytes(record).items():
        counts = {account: getattr(getattr(held, stage), account) for account in accounts}
        worst = max(counts, key=lambda account: counts[account])
        if counts[worst] > (1 + TOLERANCE) * most:
            yield f"{counts[worst]} bytes are held {_STAGES[stage]} (by the {worst}), accounted {most}{_CAUSES[stage]}"


def required_bytes(record: MeasuredRecord) -> dict[str, int]:
    """Returns the least bytes that torch's allocator holds after each stage; empty if the record has no counts.

    A repacked copy may be smaller than its original. The built step adds its static cache and scratch to the bytes held
    before. A compiler frees some of these, and an engine keeps the embedding on the host.
    """
    held = value_or_none(record.memory.held_bytes)
    if held is None:
        return {}
    weights = record.bytes.weights_measured
    runtime = registry.runtime(record.cell.runtime).DECLARATION
    packed = registry.weight_format(record.cell.quant).DECLARATION.packed
    kernel = int(weights * REPACKED_SHARE) if packed and not runtime.owns_model else weights
    before = kernel if runtime.compiles else held.kernel.allocator
    on_host = int(record.bytes.embedding) if runtime.owns_model else 0
    freed = FREED_BY_COMPILER_BYTES if runtime.compiles else 0
    step = before - on_host - freed + _kv_bytes(record) + _scratch_bytes(record)
    return {"weights": weights, "kernel": kernel, "step": step}


_STAGES = {
    "weights": "with the weights loaded",
    "kernel": "with the kernel's layers made",
    "step": "with the step built",
}
_CAUSES = {"weights": "", "kernel": ": a packed original is kept beside its repacked copy", "step": ""}


def _kv_bytes(record: MeasuredRecord) -> int:
    """Returns the bytes of the cache when the step is built. A dynamic cache is still empty then."""
    if record.cell.cache == "dynamic":
        return 0
    rows = floors.kv_alloc_tokens(record.cell.ctx, record.protocol.warmup, record.protocol.steps)
    return rows * floors.kv_bytes_per_token(record.model.shape, floors.DTYPE_BYTES[record.cell.dtype])


def _scratch_bytes(record: MeasuredRecord) -> int:
    """Returns the bytes of an engine's own intermediates; 0 for a runtime that uses the model's layers."""
    setting = (value_or_none(record.actual.settings) or {}).get(SCRATCH, "0")
    owns_model = registry.runtime(record.cell.runtime).DECLARATION.owns_model
    return int(setting) if owns_model and setting.isdecimal() else 0


def _is_alone(record: MeasuredRecord) -> bool:
    """Returns whether NVML reported no other process on the card. In a container, a count may be available only after
    the session."""
    counts = [record.snapshots.before.other_processes, record.snapshots.after.other_processes]
    return 0 in counts and not any(counts)
