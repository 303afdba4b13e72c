"""A stand-in for the calls of `torch.cuda` that the worker makes: one stream in order, and the host's clock beside it.

A launch takes the host `launch_ns` and is then queued; the device runs what is queued in order, each as long as its
launch says. The host's clock moves by launches and by waiting alone, so that every time follows by arithmetic. An event
is reached when the device has done all that was queued before it; as with the real one, times are not to be had before
that. While a graph is being captured a launch is kept by it and not run. `calls` has what was asked, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch._C._autograd import DeviceType

MARKER = "spin_kernel(long)"
BOOTED_NS = 7_000_000_000  # no clock begins at 0


class Cuda:
    def __init__(self, launch_ns: int = 10_000) -> None:
        self.launch_ns, self.now_ns, self.done_ns = launch_ns, BOOTED_NS, BOOTED_NS
        self.calls: list[Any] = []
        self.seen: list[Any] = []
        self.stream_name = "main"
        self._capturing: Graph | None = None

    def install(self, monkeypatch: Any) -> Cuda:
        """Take the place of torch's own calls, and of its profiler."""
        for name in ("synchronize", "Event", "_sleep", "Stream", "current_stream", "stream", "graph", "CUDAGraph"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr("torch.profiler.profile", self.profile)
        return self

    @property
    def clock(self) -> SimpleNamespace:
        """What a module that says `import time` reads the host's clock of."""
        return SimpleNamespace(perf_counter_ns=lambda: self.now_ns, perf_counter=lambda: self.now_ns / 1e9)

    def launch(self, name: str, takes_ns: int, does: Callable[[], Any] = lambda: None) -> None:
        if self._capturing is not None:
            self._capturing.nodes.append((name, takes_ns, does))
            return
        self.now_ns += self.launch_ns
        self.run(name, takes_ns, does)

    def run(self, name: str, takes_ns: int, does: Callable[[], Any] = lambda: None) -> None:
        start_ns = max(self.now_ns, self.done_ns)
        self.done_ns = start_ns + takes_ns
        self.seen.append(profiled(name, start_ns, takes_ns))
        does()

    def wait(self) -> None:
        self.now_ns = max(self.now_ns, self.done_ns)

    def synchronize(self, _device: Any = None) -> None:
        self.calls.append("synchronise")
        self.wait()

    def _sleep(self, cycles: int) -> None:
        self.launch(MARKER, cycles)

    def Event(self, enable_timing: bool = False) -> Event:
        return Event(self, enable_timing)

    def Stream(self) -> Stream:
        return Stream(self, "side")

    def current_stream(self) -> Stream:
        return Stream(self, self.stream_name)

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before, self.stream_name = self.stream_name, stream.name
        try:
            yield
        finally:
            self.stream_name = before

    def CUDAGraph(self) -> Graph:
        return Graph(self)

    @contextmanager
    def graph(self, graph: Graph, stream: Stream | None = None) -> Iterator[None]:
        self.calls.append(("capture", stream.name if stream else "another"))
        self._capturing = graph
        try:
            yield
        finally:
            self._capturing = None
            self.calls.append("captured")

    @contextmanager
    def profile(self, activities: Any, acc_events: bool) -> Iterator[Any]:
        """Sees what runs from here on, a copy to the host and the calls of the host's side, too."""
        assert acc_events
        assert [activity.name for activity in activities] == ["CUDA"]
        self.seen = []
        yield SimpleNamespace(profiler=SimpleNamespace(kineto_results=SimpleNamespace(events=lambda: self.seen)))


class Event:
    def __init__(self, cuda: Cuda, enable_timing: bool) -> None:
        self._cuda, self._timing = cuda, enable_timing
        self._at_ns: int | None = None

    def record(self) -> None:
        self._cuda.calls.append("record")
        self._at_ns = max(self._cuda.now_ns, self._cuda.done_ns)

    def elapsed_time(self, later: Event) -> float:
        """Milliseconds, as torch has them."""
        assert self._timing
        assert later._timing
        if self._at_ns is None or later._at_ns is None or self._cuda.now_ns < later._at_ns:
            raise RuntimeError("CUDA error: device not ready")
        return (later._at_ns - self._at_ns) / 1e6


class Stream:
    def __init__(self, cuda: Cuda, name: str) -> None:
        self._cuda, self.name = cuda, name

    def wait_stream(self, other: Stream) -> None:
        self._cuda.calls.append((self.name, "waits for", other.name))


class Graph:
    """Holds what was launched while it was captured."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self.nodes: list[tuple[str, int, Callable[[], Any]]] = []

    def replay(self) -> None:
        self._cuda.now_ns += self._cuda.launch_ns
        self._cuda.seen.append(profiled("cudaGraphLaunch", self._cuda.now_ns, 0, DeviceType.CPU))
        for node in self.nodes:
            self._cuda.run(*node)


def profiled(name: str, start_ns: int, takes_ns: int, device: DeviceType = DeviceType.CUDA) -> Any:
    """An event as torch's profiler tells of it."""
    return SimpleNamespace(
        name=lambda: name, start_ns=lambda: start_ns, duration_ns=lambda: takes_ns, device_type=lambda: device
    )
