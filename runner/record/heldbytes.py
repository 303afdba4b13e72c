"""Bytes that a device may hold while a step is built: the format's, the KV cache's, and the declared workspace.

This proves what is held, not what a step streams: a matrix may lie on the device and never be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runner import registry
from runner.cell import floors
from runner.cell.shape import ModelShape

TOLERANCE = 0.02
BASE_WORKSPACE_BYTES = 2**25
"""What torch's allocator rounds up, and the code of kernels that are loaded when they first run: 10 to 46 MB were seen
with models of 7B."""
REPACKED_SHARE = 0.95
"""The least share of packed weights that a kernel keeps. Marlin drops zero points and the order of inputs."""
SCRATCH = "scratch_bytes"
"""The engine's setting that says how much it allocated for its own intermediates."""

Record = Mapping[str, Any]


def allowed(record: Record) -> dict[str, int]:
    """The most that may be held after each stage, in bytes, before the tolerance."""
    cell, weights = record["cell"], record["bytes"]["weights"]
    kernel, runtime = registry.kernel(cell["kernel"]).DECLARATION, registry.runtime(cell["runtime"]).DECLARATION
    shape = ModelShape.from_json(record["model"]["shape"])
    loaded = weights + BASE_WORKSPACE_BYTES
    with_kernel = loaded + (0 if runtime.owns_model else kernel.workspace_bytes(shape))
    step = with_kernel + _kv_bytes(record, shape) + runtime.workspace_bytes + _scratch_bytes(record)
    return {"weights": loaded, "kernel": with_kernel, "step": step}


def reasons(record: Record) -> Iterator[str]:
    """Yields a line for each stage at which more is held than may be. The device's own account counts other processes,
    too: it is asked only where NVML saw that there were none."""
    held = record["memory"].get("held_bytes")
    if held is None:  # a CPU has none, and records of before it was counted
        return
    accounts = ("allocator", "device") if _is_alone(record) else ("allocator",)
    for stage, most in allowed(record).items():
        worst = max(accounts, key=lambda account: held[stage][account])
        found = held[stage][worst]
        if found > (1 + TOLERANCE) * most:
            yield f"{found} bytes are held {_SAID[stage]} (by the {worst}), accounted {most}{_MEANT[stage]}"


def required(record: Record) -> dict[str, int]:
    """Returns the least that torch's allocator holds after each stage, in bytes.

    A repacked copy may be smaller than its original. A step is built with its static cache and scratch in place, beside
    what was held before; a compiler frees some of that, and an engine keeps the embedding on the host.
    """
    cell, sizes = record["cell"], record["bytes"]
    shape, weights = ModelShape.from_json(record["model"]["shape"]), sizes["weights_measured"]
    runtime = registry.runtime(cell["runtime"]).DECLARATION
    packed = registry.weight_format(cell["quant"]).DECLARATION.packed
    kernel = int(weights * REPACKED_SHARE) if packed and not runtime.owns_model else weights
    before = kernel if runtime.compiles else record["memory"]["held_bytes"]["kernel"]["allocator"]
    on_host = int(sizes["embedding"]) if runtime.owns_model else 0
    step = before - on_host + _kv_bytes(record, shape) + _scratch_bytes(record)
    return {"weights": weights, "kernel": kernel, "step": step}


_SAID = {"weights": "with the weights loaded", "kernel": "with the kernel's layers made", "step": "with the step built"}
_MEANT = {"weights": "", "kernel": ": a packed original is kept beside its repacked copy", "step": ""}


def _kv_bytes(record: Record, shape: ModelShape) -> int:
    """A growing cache is still empty when the step is built."""
    cell, counts = record["cell"], record["protocol"]
    if cell["cache"] == "dynamic":
        return 0
    rows = floors.kv_alloc_tokens(cell["ctx"], counts["warmup"], counts["steps"])
    return rows * floors.kv_bytes_per_token(shape, floors.DTYPE_BYTES[cell["dtype"]])


def _scratch_bytes(record: Record) -> int:
    """Only an engine with layers of its own has such scratch."""
    said = record["actual"].get("settings", {}).get(SCRATCH, "0")
    owns = registry.runtime(record["cell"]["runtime"]).DECLARATION.owns_model
    return int(said) if owns and said.isdecimal() else 0


def _is_alone(record: Record) -> bool:
    """Whether no other process was seen on the card. In a container NVML may know that only after the session."""
    seen = [record["snapshots"][moment].get("other_processes") for moment in ("before", "after")]
    return 0 in seen and not any(seen)
