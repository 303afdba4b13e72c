"""Counts of events that must not happen in a timed window: allocations, compilations, graph captures, collections."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch


@dataclass
class Window:
    """Counts of one window, complete when it closes."""

    segments: int = 0
    compiled: int = 0
    captured: int = 0
    collected: int = 0


def _segments() -> int:
    """Returns the segments that torch's allocator has taken from and returned to the CUDA driver; 0 on a CPU."""
    if not torch.cuda.is_initialized():
        return 0
    stats = torch.cuda.memory_stats()
    return int(stats.get("segment.all.allocated", 0) + stats.get("segment.all.freed", 0))


def _compiled() -> int:
    """Returns the number of graphs that torch.compile has compiled in this process; 0 if it was never imported."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    return int(dynamo.counters["stats"]["unique_graphs"]) if dynamo is not None else 0


class _Captures:
    """Number of CUDA graph captures begun since `count_captures`."""

    begun = 0


def count_captures(graph_class: type[Any]) -> None:
    """Starts to count the captures that begin through this class."""
    begin = graph_class.capture_begin

    def counted(*arguments: Any, **named: Any) -> Any:
        _Captures.begun += 1
        return begin(*arguments, **named)

    graph_class.capture_begin = counted


count_captures(torch.cuda.CUDAGraph)  # once per process; inductor also captures through it


def _collected() -> int:
    """Returns the number of garbage collections in this process."""
    return sum(generation["collections"] for generation in gc.get_stats())


@contextmanager
def watch() -> Iterator[Window]:
    """Counts events while the context is open. The garbage collector is off meanwhile."""
    window = Window()
    gc.collect()
    gc.disable()
    segments, compiled, captured, collected = _segments(), _compiled(), _Captures.begun, _collected()
    try:
        yield window
    finally:
        window.segments = _segments() - segments
        window.compiled = _compiled() - compiled
        window.captured = _Captures.begun - captured
        window.collected = _collected() - collected
        gc.enable()
