"""Peaks of memory in use: of the whole session, and of the timed steps alone."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from runner.cell.fieldtypes import ABSENT, Absent


class Peaks:
    """Reads torch's counter of the largest memory in use, which it resets around the timed steps.

    A CPU has one counter, the process's resident memory, which cannot be reset.
    """

    def __init__(self, device: torch.device) -> None:
        self._counts = device.type == "cuda"
        self._whole = self._steps = 0

    @contextmanager
    def of_steps(self) -> Iterator[None]:
        """Counts the memory in use while the context is open as that of the timed steps."""
        self._take()
        yield
        self._steps = max(self._steps, self._take())

    def whole_bytes(self) -> int:
        """Returns the peak of the session so far."""
        self._take()
        return self._whole

    def steps_bytes(self) -> int | Absent:
        """Returns the peak of the timed steps; absent on a CPU."""
        return self._steps if self._counts else ABSENT

    def _take(self) -> int:
        """Returns the peak since the last call."""
        if self._counts:
            peak = torch.cuda.max_memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self._whole = max(self._whole, peak)
        return peak
