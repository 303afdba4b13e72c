"""A window counts what must not happen inside it, and keeps the garbage collector out."""

import gc
import sys
import weakref
from types import SimpleNamespace

import pytest
import torch

from runner.worker import windows


@pytest.mark.medium
def test_the_collector_rests_inside_and_is_back_after():
    with windows.watch() as window:
        assert not gc.isenabled()
        for _ in range(20_000):  # enough containers to start a collection several times over
            loop: list[object] = []
            loop.append(loop)
    assert gc.isenabled()
    assert window.collected == 0


@pytest.mark.medium
def test_a_collection_inside_is_counted():
    with windows.watch() as window:
        gc.collect()
    assert window.collected == 1


@pytest.mark.medium
def test_the_collector_is_back_after_an_error():
    try:
        with windows.watch():
            raise RuntimeError
    except RuntimeError:
        assert gc.isenabled()


@pytest.mark.medium
def test_a_compilation_inside_is_counted_and_one_before_is_not():
    @torch.compile(backend="eager", dynamic=False)
    def doubled(x: torch.Tensor) -> torch.Tensor:
        return x * 2 + 1  # two operators, one graph

    doubled(torch.ones(2))
    with windows.watch() as quiet:
        doubled(torch.ones(2))
    with windows.watch() as window:
        doubled(torch.ones(3))  # a new shape
    assert (quiet.compiled, window.compiled) == (0, 1)


@pytest.mark.medium
def test_a_compilation_without_graph_breaks_is_counted_too():
    @torch.compile(backend="eager", dynamic=False, fullgraph=True)
    def tripled(x: torch.Tensor) -> torch.Tensor:
        return x * 3 + 1

    tripled(torch.ones(2))
    with windows.watch() as window:
        tripled(torch.ones(3))
    assert window.compiled == 1


@pytest.mark.medium
def test_a_capture_inside_is_counted():
    class Graph:
        def capture_begin(self, mode: str) -> str:
            return mode

    windows.count_captures(Graph)
    with windows.watch() as window:
        assert Graph().capture_begin("global") == "global"
    assert window.captured == 1


@pytest.mark.medium
def test_captures_through_torchs_own_graphs_are_counted():
    """Where torch has no CUDA its graph begins nothing; that it was asked to is counted all the same."""
    with windows.watch() as window:
        for _ in range(2):
            with pytest.raises((TypeError, AttributeError, RuntimeError)):
                torch.cuda.CUDAGraph.capture_begin(object())
    assert window.captured == 2


@pytest.mark.medium
def test_only_captures_of_the_window_are_counted():
    class Graph:
        def capture_begin(self) -> None: ...

    windows.count_captures(Graph)
    Graph().capture_begin()
    with windows.watch() as window:
        Graph().capture_begin()
        Graph().capture_begin()
    Graph().capture_begin()
    assert window.captured == 2


@pytest.mark.medium
def test_memory_taken_from_the_driver_and_given_back_is_counted(monkeypatch):
    """7 segments taken and 2 given back before; 10 and 3 after: 3 + 1."""
    stats = {
        "segment.all.allocated": 7,
        "segment.all.freed": 2,
        "segment.all.current": 5,
        "allocation.all.allocated": 9,
    }
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda: stats)
    with windows.watch() as window:
        stats |= {"segment.all.allocated": 10, "segment.all.freed": 3, "segment.all.current": 7}
        stats["allocation.all.allocated"] = 900  # out of segments that torch holds already
    assert window.segments == 4
    with windows.watch() as quiet:
        pass
    assert quiet.segments == 0


@pytest.mark.medium
def test_without_cuda_no_segment_is_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda: pytest.fail("asked"))
    with windows.watch() as window:
        pass
    assert window.segments == 0


@pytest.mark.medium
def test_garbage_of_before_is_collected_before_the_window_opens():
    class Loop:
        def __init__(self) -> None:
            self.itself = self

    gone = weakref.ref(Loop())
    gc.disable()  # as it would be if a window had just closed
    assert gone() is not None
    with windows.watch():
        assert gone() is None


@pytest.mark.medium
def test_every_graph_counts_where_the_compiler_is_imported_inside(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch._dynamo.utils", raising=False)
    with windows.watch() as quiet:
        pass
    with windows.watch() as window:
        compiler = SimpleNamespace(counters={"stats": {"unique_graphs": 2}})
        monkeypatch.setitem(sys.modules, "torch._dynamo.utils", compiler)
    assert (quiet.compiled, window.compiled) == (0, 2)


@pytest.mark.medium
@pytest.mark.parametrize("is_initialized", [False, True])
def test_every_segment_counts_where_cuda_is_first_used_inside(monkeypatch, is_initialized):
    """3 segments taken and 1 given back; an allocator that has done nothing has no such statistics."""
    used, stats = [is_initialized], {}
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: used[0])
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda: stats)
    with windows.watch() as window:
        used[0] = True
        stats |= {"segment.all.allocated": 3, "segment.all.freed": 1}
    assert window.segments == 4


def test_a_window_begins_without_events():
    assert windows.Window() == windows.Window(segments=0, compiled=0, captured=0, collected=0)
