"""A window counts what must not happen inside it, and keeps the garbage collector out."""

import gc

import torch

from runner.worker import windows


def test_the_collector_rests_inside_and_is_back_after():
    with windows.watch() as window:
        assert not gc.isenabled()
        for _ in range(20_000):  # enough containers to start a collection several times over
            loop: list[object] = []
            loop.append(loop)
    assert gc.isenabled()
    assert window.collected == 0


def test_a_collection_inside_is_counted():
    with windows.watch() as window:
        gc.collect()
    assert window.collected == 1


def test_the_collector_is_back_after_an_error():
    try:
        with windows.watch():
            raise RuntimeError
    except RuntimeError:
        assert gc.isenabled()


def test_a_compilation_inside_is_counted_and_one_before_is_not():
    @torch.compile(backend="eager", dynamic=False)
    def doubled(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    doubled(torch.ones(2))
    with windows.watch() as quiet:
        doubled(torch.ones(2))
    with windows.watch() as window:
        doubled(torch.ones(3))  # a new shape
    assert (quiet.compiled, window.compiled) == (0, 1)


def test_a_compilation_without_graph_breaks_is_counted_too():
    @torch.compile(backend="eager", dynamic=False, fullgraph=True)
    def tripled(x: torch.Tensor) -> torch.Tensor:
        return x * 3

    tripled(torch.ones(2))
    with windows.watch() as window:
        tripled(torch.ones(3))
    assert window.compiled == 1


def test_a_capture_inside_is_counted():
    class Graph:
        def capture_begin(self, mode: str) -> str:
            return mode

    windows.count_captures(Graph)
    with windows.watch() as window:
        assert Graph().capture_begin("global") == "global"
    assert window.captured == 1
