"""The rules of which kernel and runtime go with what stand once, and each is told."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from runner import registry
from runner.cell import catalogue
from runner.cell.cell import Cell
from runner.cell.scheme import Scheme
from runner.registry import Conflict

RIGHT = Cell("h200", "tiny", 64, "gptq", "exllamav2", "graph", "sdpa", "static", "fp16", "synthetic-v1")
ENGINE = replace(RIGHT, runtime="exllamav2", attention="engine", cache="engine")


def test_a_step_streams_everything_but_the_input_embedding() -> None:
    shape = catalogue.models()["tiny"].shape
    # a layer's linears: q, o 2·128·128 + k, v 2·64·128 + gate, up, down 3·256·128 = 147456 weights; two layers
    # beside them, 2 bytes each: biases 128 + 2·64 and norms 2·128 a layer, a norm 128, the head 512·128
    others, kv = (2 * (256 + 256) + 128 + 512 * 128) * 2, 64 * 2 * 2 * 64 * 2
    assert registry.streamed_bytes("bf16", shape, 64, 2) == 2 * 147456 * 2 + others + kv
    # packed: half a byte each, and for each 128 of them a scale of 2 bytes and a zero point of half a byte
    packed = 2 * (147456 // 2 + 147456 // 128 * 5 // 2)
    assert registry.streamed_bytes("gptq", shape, 64, 2) == packed + others + kv


def test_a_format_that_packs_nothing_has_no_scheme() -> None:
    assert registry.default_scheme("bf16") is None
    assert registry.default_scheme("gptq") == Scheme(128, sym=True)


def test_a_right_cell_breaks_no_rule() -> None:
    assert [*registry.conflicts(RIGHT), *registry.conflicts(ENGINE)] == []


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (replace(RIGHT, quant="awq"), Conflict("quant", "awq", "kernel", "exllamav2", ("gptq",))),
        (replace(RIGHT, dtype="fp32"), Conflict("dtype", "fp32", "kernel", "exllamav2", ("fp16",))),
        (replace(RIGHT, runtime="eager", gpu="cpu"), Conflict("device", "cpu", "kernel", "exllamav2", ("cuda",))),
        (replace(RIGHT, gpu="cpu"), Conflict("device", "cpu", "runtime", "graph", ("cuda",))),
        (replace(RIGHT, runtime="compile"), Conflict("quant", "gptq", "runtime", "compile", ("bf16",))),
        (replace(ENGINE, kernel="marlin"), Conflict("kernel", "marlin", "runtime", "exllamav2", ("exllamav2",))),
        (replace(RIGHT, cache="dynamic"), Conflict("cache", "dynamic", "runtime", "graph", ("static",))),
        (replace(RIGHT, attention="engine"), Conflict("attention", "engine", "runtime", "graph", ("sdpa",))),
    ],
)
def test_a_broken_rule_is_told_with_what_is_allowed(cell: Cell, expected: Conflict) -> None:
    assert expected in list(registry.conflicts(cell))


def test_a_kernel_may_name_the_runtimes_that_it_goes_with(monkeypatch: pytest.MonkeyPatch) -> None:
    module = registry.kernel("exllamav2")
    monkeypatch.setattr(module, "DECLARATION", replace(module.DECLARATION, runtimes=("exllamav2",)))
    assert list(registry.conflicts(ENGINE)) == []
    (conflict,) = registry.conflicts(RIGHT)
    assert conflict == Conflict("runtime", "graph", "kernel", "exllamav2", ("exllamav2",))


def test_what_no_graph_can_hold_is_told_with_the_kernels_that_one_can(monkeypatch: pytest.MonkeyPatch) -> None:
    module = registry.kernel("exllamav2")
    monkeypatch.setattr(module, "DECLARATION", replace(module.DECLARATION, capturable=False))
    (conflict,) = registry.conflicts(RIGHT)
    assert (conflict.field, conflict.value, conflict.name) == ("kernel", "exllamav2", "graph")
    assert conflict.why == "cannot be captured in a CUDA graph"
    assert set(conflict.allowed) == {"autoawq-triton", "bitsandbytes", "cublas", "marlin"}
    assert list(registry.conflicts(replace(RIGHT, runtime="eager"))) == []


@pytest.mark.parametrize("name", registry.kernel_names())
def test_a_kernel_from_a_package_says_how_to_get_it(name: str) -> None:
    declared = registry.kernel(name).DECLARATION
    found = SimpleNamespace(package=declared.package, module=declared.module, remedy=declared.remedy)
    assert len({value is None for value in vars(found).values()}) == 1
    assert declared.signatures
