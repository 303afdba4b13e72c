"""The runtimes of a bench become cells that differ in their runtime alone, or are refused with a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest

from runner import registry
from runner.bench import entrants
from runner.bench.assignment import Assignment
from runner.errors import BadPair, BadValue, Infeasible, UnknownName
from runner.machine.nvml import InstalledGpu
from runner.plan.request import Request

MakeCard = Callable[..., InstalledGpu]
ALL = ("eager", "graph", "compile", "fused")


@pytest.fixture
def on_h200(card: MakeCard) -> Callable[..., Assignment]:
    """A function that assigns runtimes on a pretended H200."""

    def assign(*runtimes: str, memory_bytes: int = 150 * 10**9, **request: str) -> Assignment:
        installed = (card("NVIDIA H200", memory_bytes=memory_bytes),)
        return entrants.assign(Request(**request), runtimes, 5, installed, 1_000)

    return assign


def test_the_cells_differ_in_what_the_runtime_decides(on_h200: Callable[..., Assignment]) -> None:
    order = on_h200(*ALL, ctx="2048", steps="64")
    assert order.runtimes == ALL
    cells = [asdict(job.cell) for job in order.jobs]
    differing = {name for name in cells[0] if len({str(cell[name]) for cell in cells}) > 1}
    assert differing == {"runtime", "kernel", "attention", "options"}
    assert [(cell["kernel"], cell["attention"]) for cell in cells] == [("cublas", "sdpa")] * 3 + [("fused", "engine")]
    assert {(cell["cache"], cell["dtype"], cell["quant"], cell["weights_id"]) for cell in cells} == {
        ("static", "bf16", "bf16", "synthetic-v1")
    }


def test_the_jobs_share_model_protocol_seed_and_card(on_h200: Callable[..., Assignment]) -> None:
    jobs = on_h200(*ALL, model="mistral-7b", steps="64").jobs
    assert {(job.model_name, job.shape, job.protocol, job.device, job.session.seed) for job in jobs} == {
        ("mistral-7b", jobs[0].shape, jobs[0].protocol, jobs[0].device, 0)
    }
    assert (jobs[0].protocol.warmup, jobs[0].protocol.steps, jobs[0].device.bandwidth_gbs) == (5, 64, 4800)
    assert [job.session.index for job in jobs] == [0, 1, 2, 3]
    assert {job.session.started_ms for job in jobs} == {1_000}


def test_on_a_cpu_all_but_eager_are_refused_with_a_line_each() -> None:
    order = entrants.assign(Request(gpu="cpu", model="tiny", steps="3"), ALL, 2, (), 1_000)
    assert order.runtimes == ("eager",)
    assert [each.runtime for each in order.refusals] == ["graph", "compile", "fused"]
    for each in order.refusals:
        assert each.reason.startswith(f"runtime={each.runtime} needs a CUDA GPU")


def test_without_any_runtime_the_first_refusal_is_the_error() -> None:
    with pytest.raises(BadPair, match="runtime=graph needs a CUDA GPU"):
        entrants.assign(Request(gpu="cpu", model="tiny"), ("graph", "fused"), 2, (), 1_000)


def test_an_unpacked_model_is_all_that_a_bench_has(on_h200: Callable[..., Assignment]) -> None:
    order = on_h200("eager", "exllamav2")
    assert order.runtimes == ("eager",)
    assert "runtime=exllamav2" in order.refusals[0].reason


def test_a_kernel_with_layers_of_its_own_is_refused(
    on_h200: Callable[..., Assignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would replace those of the one model that all runtimes share."""
    monkeypatch.setattr(registry, "makes_layers", lambda kernel: kernel == "fused")
    order = on_h200(*ALL)
    assert order.runtimes == ALL[:3]
    assert order.refusals[0].reason.startswith("kernel=fused has its own layers")


def test_memory_is_needed_for_each_runtimes_cache(on_h200: Callable[..., Assignment]) -> None:
    # Qwen2.5-7B at ctx 32000: 32128 positions · 2 · 28 layers · 4 heads · 128 · 2 B = 1.84 GB of cache
    enough = {"model": "qwen2.5-7b", "ctx": "32000", "steps": "64"}
    on_h200("graph", memory_bytes=24 * 10**9, **enough)
    with pytest.raises(Infeasible):
        on_h200("graph", "eager", "compile", "fused", memory_bytes=24 * 10**9, **enough)


def test_names_are_known_and_named_once() -> None:
    assert entrants.names("fused,eager") == ("fused", "eager")
    with pytest.raises(UnknownName, match="unknown runtime 'fusd'; did you mean fused"):
        entrants.names("eager,fusd")
    with pytest.raises(UnknownName):
        entrants.names("eager,")
    with pytest.raises(BadValue, match="must name each runtime once"):
        entrants.names("eager,graph,eager")
