"""Memory in use on a device, by torch's allocator and by the device's own count."""

from __future__ import annotations

import gc

import torch

from runner.cell.fieldtypes import ABSENT, Absent
from runner.record.sections.quantities import Held, HeldBytes


def measure() -> Held:
    """Returns the memory in use on the current CUDA device, after freeing all that can be freed."""
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    allocated, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    free, total = torch.cuda.mem_get_info()
    return Held(allocated, total - free - (reserved - allocated))


def difference(after: Held, before: Held) -> Held:
    """Returns the memory allocated between two measurements."""
    return Held(after.allocator - before.allocator, after.device - before.device)


def _take_workspaces(device: torch.device) -> None:
    """Makes cuBLAS allocate its workspace for the current stream, which it then keeps."""
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        small = torch.zeros(16, 16, dtype=dtype, device=device)
        torch.matmul(small, small)


class Ledger:
    """Memory in use after each stage of building a step, minus that before the first stage. Empty on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._counts = device.type == "cuda"
        if self._counts:
            _take_workspaces(device)
        self._before = measure() if self._counts else Held(0, 0)
        self._stages: dict[str, Held] = {}

    def note(self, stage: str) -> None:
        if self._counts:
            self._stages[stage] = difference(measure(), self._before)

    def held_bytes(self) -> HeldBytes | Absent:
        """Returns the record's field `memory.held_bytes`; absent on a CPU."""
        return HeldBytes(**self._stages) if self._counts else ABSENT
