"""Bytes that a device may hold while a step is built: the format's, the KV cache's, and the declared workspace.

This proves what is held, not what a step streams: a matrix may lie on the device and never be read.
"""

from __future__ import annotations

from collections.abc import Iterator

from runner import registry
from runner.cell import floors
from runner.cell.fieldtypes import known
from runner.record.sessionrecord import MeasuredRecord

TOLERANCE = 0.02
BASE_WORKSPACE_BYTES = 2**25
"""What torch's allocator rounds up, and the code of kernels that are loaded when they first run: 10 to 46 MB were seen
with models of 7B."""
REPACKED_SHARE = 0.95
"""The least share of packed weights that a kernel keeps. Marlin drops zero points and the order of inputs."""
FREED_BY_COMPILER_BYTES = 40 * 2**20
"""The most that torch.compile frees of what was held before the weights: cuBLAS's workspaces, 33 MiB on an H200."""
SCRATCH = "scratch_bytes"
"""The engine's setting that says how much it allocated for its own intermediates."""


def allowed(record: MeasuredRecord) -> dict[str, int]:
    """Returns the most that may be held after each stage, in bytes, before the tolerance."""
    kernel = registry.kernel(record.cell.kernel).DECLARATION
    runtime = registry.runtime(record.cell.runtime).DECLARATION
    loaded = record.bytes.weights + BASE_WORKSPACE_BYTES
    with_kernel = loaded + (0 if runtime.owns_model else kernel.workspace_bytes(record.model.shape))
    step = with_kernel + _kv_bytes(record) + runtime.workspace_bytes + _scratch_bytes(record)
    return {"weights": loaded, "kernel": with_kernel, "step": step}


def reasons(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each stage at which more is held than may be.

    The device's own account counts other processes, too: it is read only where NVML saw that there were none.
    """
    held = known(record.memory.held_bytes)
    if held is None:  # a CPU has none, and records of before it was counted
        return
    accounts = ("allocator", "device") if _is_alone(record) else ("allocator",)
    for stage, most in allowed(record).items():
        counts = {account: getattr(getattr(held, stage), account) for account in accounts}
        worst = max(counts, key=lambda account: counts[account])
        if counts[worst] > (1 + TOLERANCE) * most:
            yield f"{counts[worst]} bytes are held {_SAID[stage]} (by the {worst}), accounted {most}{_MEANT[stage]}"


def required(record: MeasuredRecord) -> dict[str, int]:
    """Returns the least that torch's allocator holds after each stage, in bytes; empty where nothing was counted.

    A repacked copy may be smaller than its original. A step is built with its static cache and scratch in place, beside
    what was held before; a compiler frees some of that, and an engine keeps the embedding on the host.
    """
    held = known(record.memory.held_bytes)
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


_SAID = {"weights": "with the weights loaded", "kernel": "with the kernel's layers made", "step": "with the step built"}
_MEANT = {"weights": "", "kernel": ": a packed original is kept beside its repacked copy", "step": ""}


def _kv_bytes(record: MeasuredRecord) -> int:
    """Returns the bytes of the cache when the step is built; a growing cache is still empty then."""
    if record.cell.cache == "dynamic":
        return 0
    rows = floors.kv_alloc_tokens(record.cell.ctx, record.protocol.warmup, record.protocol.steps)
    return rows * floors.kv_bytes_per_token(record.model.shape, floors.DTYPE_BYTES[record.cell.dtype])


def _scratch_bytes(record: MeasuredRecord) -> int:
    """Returns the bytes of an engine's own intermediates; only an engine with layers of its own has such scratch."""
    stated = (known(record.actual.settings) or {}).get(SCRATCH, "0")
    owns = registry.runtime(record.cell.runtime).DECLARATION.owns_model
    return int(stated) if owns and stated.isdecimal() else 0


def _is_alone(record: MeasuredRecord) -> bool:
    """Returns whether no other process was seen on the card. In a container NVML may know that only after the
    session."""
    seen = [record.snapshots.before.other_processes, record.snapshots.after.other_processes]
    return 0 in seen and not any(seen)
