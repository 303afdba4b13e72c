"""What ran is read off the profile and the live cache; anything else than what was asked for is an error."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from runner import registry
from runner.cell.jsonform import to_json
from runner.errors import Mismatch
from runner.worker import actual
from runner.worker.profiling import Observed


def step(cache, runtime="eager"):
    return SimpleNamespace(runtime=runtime, cache_kind=cache, settings={})


# tiny: 2 layers of 7 products, and the head
RIGHT = Observed({"aten::addmm": 6.0, "aten::mm": 9.0, "aten::_scaled_dot_product_flash_attention_for_cpu": 2.0})


def test_what_was_seen_is_written_down(tiny_job):
    assert tiny_job.shape.layers * 7 + 1 == 15
    assert to_json(actual.describe(tiny_job, RIGHT, step("dynamic"))) == {
        "runtime": "eager",
        "graph_mode": "none",
        "graph_launches_per_step": 0.0,
        "kernel": "torch-cpu",
        "kernel_names": ["aten::addmm", "aten::mm"],
        "products_per_step": 15.0,
        "attention_backend": "flash",
        "cache": "dynamic",
    }


def test_a_kernel_that_does_only_some_of_the_products_is_not_the_one_asked_for(tiny_job):
    with pytest.raises(Mismatch, match=r"shows 1 of its matrix products per step; the layers have at least 14"):
        actual.describe(tiny_job, Observed({"marlin::Marlin": 14.0, "aten::mm": 1.0}), step("dynamic"))


def test_a_kernel_may_launch_several_times_for_a_product_and_a_runtime_may_fuse_them(tiny_job, monkeypatch):
    kernel, runtime = registry.kernel("torch-cpu"), registry.runtime("eager")
    monkeypatch.setattr(kernel, "DECLARATION", replace(kernel.DECLARATION, launches_per_product=2))
    with pytest.raises(Mismatch, match="shows 15 of its matrix products per step; the layers have at least 28"):
        actual.describe(tiny_job, RIGHT, step("dynamic"))
    monkeypatch.setattr(runtime, "DECLARATION", replace(runtime.DECLARATION, products=lambda _shape: 1))
    with pytest.raises(Mismatch, match="shows 1 of its matrix products per step; the layers have at least 2"):
        actual.describe(tiny_job, Observed({"aten::mm": 1.0}), step("dynamic"))
    assert actual.describe(tiny_job, Observed({"aten::mm": 2.0}), step("dynamic")).products_per_step == 2.0


def test_another_cache_is_an_error(tiny_job):
    with pytest.raises(Mismatch, match="cache dynamic was requested, but static ran"):
        actual.describe(tiny_job, RIGHT, step("static"))


def test_a_graph_where_none_was_asked_for_is_an_error(tiny_job):
    with pytest.raises(Mismatch, match="graph mode none was requested, but whole-step ran"):
        actual.describe(tiny_job, replace(RIGHT, graph_launches=1.0), step("dynamic"))
    assert replace(RIGHT, graph_launches=3.0).graph_mode == "partial"


def test_another_runtime_is_an_error(tiny_job):
    with pytest.raises(Mismatch, match="runtime eager was requested, but graph ran"):
        actual.describe(tiny_job, RIGHT, step("dynamic", "graph"))


def test_the_mode_of_a_compiled_cell_says_how_it_is_launched(tiny_job):
    cell = replace(tiny_job.cell, runtime="compile", cache="static", options={"mode": "reduce-overhead"})
    job = replace(tiny_job, cell=cell)
    assert (
        actual.describe(job, replace(RIGHT, graph_launches=1.0), step("static", "compile")).graph_mode == "whole-step"
    )
    with pytest.raises(Mismatch, match="graph mode whole-step was requested, but none ran"):
        actual.describe(job, RIGHT, step("static", "compile"))


def test_another_attention_backend_than_the_option_is_an_error(tiny_job):
    job = replace(tiny_job, cell=replace(tiny_job.cell, options={"sdpa": "cudnn"}))
    with pytest.raises(Mismatch, match="sdpa backend cudnn was requested, but flash ran"):
        actual.describe(job, RIGHT, step("dynamic"))


def test_an_unrecognised_attention_is_called_unknown():
    assert Observed({"aten::mm": 1.0}).attention_backend == "unknown"


@pytest.fixture
def fused_job(tiny_job):
    words = {"kernel": "fused", "runtime": "fused", "attention": "engine", "cache": "static"}
    return replace(tiny_job, cell=replace(tiny_job.cell, **words))


def test_a_step_of_one_kernel_is_that_kernel_and_the_read_back(fused_job):
    found = actual.describe(fused_job, Observed({"decode_step": 1.0}, copies=1.0), step("static", "fused"))
    assert (found.kernel_names, found.products_per_step, found.copies_per_step) == (("decode_step",), 1.0, 1.0)


@pytest.mark.parametrize(
    ("observed", "said"),
    [
        (
            Observed({"decode_step": 1.0, "fill": 1.0}, copies=1.0),
            r"shows 2 kernels \(decode_step, fill\) and 1 copies",
        ),
        (Observed({"decode_step": 2.0}, copies=1.0), r"shows 2 kernels \(decode_step\) and 1 copies"),
        (Observed({"decode_step": 1.0}, copies=2.0), r"shows 1 kernels \(decode_step\) and 2 copies"),
        (Observed({"another": 1.0}, copies=1.0), "kernel fused was requested, but the profile shows 0 of its"),
    ],
    ids=["another-kernel", "twice", "another-copy", "another-name"],
)
def test_a_step_of_one_kernel_that_runs_anything_else_is_an_error(fused_job, observed, said):
    with pytest.raises(Mismatch, match=said):
        actual.describe(fused_job, observed, step("static", "fused"))
