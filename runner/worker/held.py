"""Counts what a device holds: by torch's allocator, and by the device's own account."""

from __future__ import annotations

import gc

import torch

from runner.cell.fieldtypes import ABSENT, Absent
from runner.record.sections.quantities import Held, HeldBytes


def now() -> Held:
    """Returns what the current CUDA device holds, once nothing waits to be freed."""
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    allocated, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    free, total = torch.cuda.mem_get_info()
    return Held(allocated, total - free - (reserved - allocated))


def beyond(held: Held, before: Held) -> Held:
    """Returns what is held beyond what was held before."""
    return Held(held.allocator - before.allocator, held.device - before.device)


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
            self._stages[stage] = beyond(now(), self._before)

    def held_bytes(self) -> HeldBytes | Absent:
        """Returns the record's field `memory.held_bytes`, which a CPU's record does not have."""
        return HeldBytes(**self._stages) if self._counts else ABSENT
