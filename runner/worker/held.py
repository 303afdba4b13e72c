"""Counts what a device holds: by torch's allocator, and by the device's own account."""

from __future__ import annotations

import gc
from dataclasses import asdict, dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Held:
    """Bytes of live tensors, and bytes that the device says are taken, less what torch's allocator keeps free: that
    holds what a library allocates itself, too, and code that was loaded."""

    allocator: int
    device: int

    def beyond(self, other: Held) -> Held:
        return Held(self.allocator - other.allocator, self.device - other.device)


def now() -> Held:
    """Returns what the current CUDA device holds, once nothing waits to be freed."""
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    allocated, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    free, total = torch.cuda.mem_get_info()
    return Held(allocated, total - free - (reserved - allocated))


def _take_workspaces(device: torch.device) -> None:
    """Let cuBLAS take the workspace that it keeps for the current stream."""
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        small = torch.zeros(16, 16, dtype=dtype, device=device)
        torch.matmul(small, small)


class Ledger:
    """What is held after each stage of building a step, beyond what was before the first. A CPU's is empty."""

    def __init__(self, device: torch.device) -> None:
        self._counts = device.type == "cuda"
        if self._counts:
            _take_workspaces(device)
        self._before = now() if self._counts else Held(0, 0)
        self._stages: dict[str, Held] = {}

    def note(self, stage: str) -> None:
        if self._counts:
            self._stages[stage] = now().beyond(self._before)

    def to_json(self) -> dict[str, Any]:
        """The record's field `memory.held_bytes`, where there is one."""
        return {"held_bytes": {stage: asdict(held) for stage, held in self._stages.items()}} if self._counts else {}
