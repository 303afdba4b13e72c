"""What must not happen inside a timed window, counted: driver allocations, compilations, garbage collections."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass
class Window:
    """Counts of one window, complete when it closes."""

    segments: int = 0
    compiled: int = 0
    collected: int = 0


def _segments() -> int:
    """Allocations from and returns to the CUDA driver by torch's allocator since the process began; 0 on a CPU."""
    if not torch.cuda.is_initialized():
        return 0
    stats = torch.cuda.memory_stats()
    return int(stats.get("segment.all.allocated", 0) + stats.get("segment.all.freed", 0))


def _compiled() -> int:
    """Frames that torch.compile has compiled since the process began; 0 when it was never imported."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    return int(dynamo.counters["frames"]["total"]) if dynamo is not None else 0


def _collected() -> int:
    """Garbage collections since the process began."""
    return sum(generation["collections"] for generation in gc.get_stats())


@contextmanager
def watch() -> Iterator[Window]:
    """Count over the body; the garbage collector rests meanwhile."""
    window = Window()
    gc.collect()
    gc.disable()
    segments, compiled, collected = _segments(), _compiled(), _collected()
    try:
        yield window
    finally:
        window.segments = _segments() - segments
        window.compiled = _compiled() - compiled
        window.collected = _collected() - collected
        gc.enable()
