"""What makes two arms: one field differs, the rest is resolved once for both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from runner import registry
from runner.ab import arms
from runner.errors import BadPair, BadValue, UnknownName
from runner.machine.nvml import InstalledGpu
from runner.plan.request import Request

MakeCard = Callable[..., InstalledGpu]


def differing(pair: arms.Pair) -> set[str]:
    a, b = (arm.plan.cell.to_json() for arm in pair.arms)
    return {name for name in a if a[name] != b[name]}


def test_eager_against_graph_is_static_against_static(card: MakeCard) -> None:
    pair = arms.pair(Request(), "runtime", "eager", "graph", (card("NVIDIA H200"),))
    assert differing(pair) == {"runtime"}
    assert [arm.plan.cell.cache for arm in pair.arms] == ["static", "static"]
    assert pair.implied == {}


def test_energy_is_measured_in_both_arms_or_in_none(card: MakeCard) -> None:
    for text, is_on in (("on", True), ("auto", False)):
        pair = arms.pair(Request(energy=text), "runtime", "eager", "graph", (card("NVIDIA H200"),))
        assert [arm.plan.energy for arm in pair.arms] == [is_on, is_on]
        assert [arm.request.energy for arm in pair.arms] == [text, text]


def test_a_dynamic_cache_against_a_graph_is_refused_with_the_field_to_fix(card: MakeCard) -> None:
    with pytest.raises(BadPair, match="cache=dynamic does not go with runtime=graph"):
        arms.pair(Request(cache="dynamic"), "runtime", "eager", "graph", (card("NVIDIA H200"),))


def test_what_a_runtime_brings_is_implied_and_listed(card: MakeCard) -> None:
    pair = arms.pair(Request(), "runtime", "eager", "compile", (card("NVIDIA H200"),))
    assert differing(pair) == {"runtime", "options"}
    assert pair.implied == {"options": ({}, {"mode": "reduce-overhead"})}


def test_an_option_goes_to_the_arm_whose_runtime_takes_it(card: MakeCard) -> None:
    pair = arms.pair(Request(options="mode:default"), "runtime", "eager", "compile", (card("NVIDIA H200"),))
    assert [arm.plan.cell.options for arm in pair.arms] == [{}, {"mode": "default"}]
    with pytest.raises(UnknownName, match="unknown option of runtime=eager 'speed'"):
        arms.pair(Request(options="speed:high"), "runtime", "eager", "compile", (card("NVIDIA H200"),))


def test_a_format_brings_its_kernel_dtype_and_choices(card: MakeCard) -> None:
    pair = arms.pair(Request(), "quant", "bf16", "gptq", (card("NVIDIA H200"),))
    assert pair.implied == {
        "kernel": ("cublas", "exllamav2"),
        "dtype": ("bf16", "fp16"),
        "options": ({}, {"sym": "true"}),
    }


def test_an_option_goes_to_the_arm_whose_format_takes_it(card: MakeCard) -> None:
    pair = arms.pair(Request(options="sym:false,sdpa:math"), "quant", "awq", "gptq", (card("NVIDIA H200"),))
    assert [arm.plan.cell.options for arm in pair.arms] == [{"sdpa": "math"}, {"sym": "false", "sdpa": "math"}]


def test_options_go_to_both_arms_where_the_field_has_none_of_its_own(card: MakeCard) -> None:
    pair = arms.pair(Request(options="sdpa:math"), "ctx", "256", "512", (card("NVIDIA H200"),))
    assert [arm.plan.cell.options for arm in pair.arms] == [{"sdpa": "math"}] * 2


def test_what_the_field_does_not_imply_is_refused_by_its_name(card: MakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = arms.resolve

    def drifting(request: Request, installed: object) -> object:
        plan = resolve(request, installed)  # type: ignore[arg-type]  # the fixture's cards
        return replace(plan, cell=replace(plan.cell, dtype="fp16")) if request.ctx == "512" else plan

    monkeypatch.setattr(arms, "resolve", drifting)
    with pytest.raises(
        BadPair, match=r"differ in dtype as well \(bf16 and fp16\).*give dtype= the same value for both"
    ):
        arms.pair(Request(), "ctx", "256", "512", (card("NVIDIA H200"),))


def test_an_a_a_is_one_cell_twice() -> None:
    pair = arms.pair(Request(gpu="cpu", model="tiny"), "none", "auto", "auto", ())
    assert differing(pair) == set()


def test_any_field_of_the_cell_can_differ() -> None:
    for field, a, b in (("ctx", "64", "128"), ("dtype", "bf16", "fp32"), ("model", "tiny", "qwen2.5-0.5b")):
        assert differing(arms.pair(Request(gpu="cpu"), field, a, b, ())) == {field}
    pair = arms.pair(Request(gpu="cpu"), "options", "none", "sdpa:math", ())
    assert differing(pair) == {"options"}


@pytest.mark.parametrize(
    ("field", "a", "b", "request_", "said"),
    [
        (
            "none",
            "eager",
            "graph",
            {},
            r"a=eager and b=graph need a field .*: give field=… \(--field of `python -m runner ab`\)",
        ),
        ("gpu", "l4", "h100", {}, "run on the same card"),
        ("cache", "static", "static", {}, "choose field=none"),
        ("cache", "static", "auto", {}, r"give both a=… and b=… \(options --a and --b\)"),
        ("cache", "static", "dynamic", {"cache": "static"}, "leave out cache=static"),
    ],
)
def test_values_that_make_no_ab_are_refused(field: str, a: str, b: str, request_: dict[str, str], said: str) -> None:
    with pytest.raises(BadValue, match=said):
        arms.pair(Request(gpu="cpu", **request_), field, a, b, ())


def test_unknown_words_are_told_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean runtime"):
        arms.pair(Request(gpu="cpu"), "runtme", "eager", "graph", ())
    with pytest.raises(UnknownName, match="did you mean fused"):
        arms.pair(Request(gpu="cpu"), "runtime", "eager", "fusd", ())


def test_advice_is_for_both_arms(card: MakeCard) -> None:
    said = "arm b: runtime=graph needs a CUDA GPU, and this cell is on the CPU: choose another value of runtime"
    with pytest.raises(BadPair, match=said):
        arms.pair(Request(gpu="cpu"), "runtime", "eager", "graph", ())
    h200 = (card("NVIDIA H200"),)
    with pytest.raises(BadPair, match="arm b: quant=awq does not go with kernel=cublas: choose kernel=auto"):
        arms.pair(Request(kernel="cublas"), "quant", "bf16", "awq", h200)
    assert arms.pair(Request(), "quant", "bf16", "awq", h200).b.plan.cell.kernel == "marlin"
    with pytest.raises(BadPair, match=r"^kernel=cublas needs a CUDA GPU.*: choose kernel=auto$"):
        arms.pair(Request(gpu="cpu", kernel="cublas"), "none", "auto", "auto", ())


def test_the_fused_runtime_implies_kernel_and_attention_and_nothing_else(card: MakeCard) -> None:
    pair = arms.pair(Request(), "runtime", "graph", "fused", (card("NVIDIA H200"),))
    assert pair.implied == {"kernel": ("cublas", "fused"), "attention": ("sdpa", "engine")}
    assert pair.a.plan.cell.cache == pair.b.plan.cell.cache == "static"


def test_both_values_for_one_cell_are_no_ab(card: MakeCard) -> None:
    with pytest.raises(BadPair, match="resolve to the same cell"):
        arms.pair(Request(runtime="compile"), "options", "none", "mode:reduce-overhead", (card("NVIDIA H200"),))


def test_an_engine_has_a_cache_of_its_own(card: MakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime as a later version has: cache and attention have no value that both arms could take."""
    eager = registry.runtime("eager")
    engine = replace(eager.DECLARATION, name="exllamav2", caches=("engine",), attentions=("engine",))
    found = registry.runtime
    monkeypatch.setattr(registry, "runtime_names", lambda: ("eager", "exllamav2"))

    class Module:
        DECLARATION = engine

    monkeypatch.setattr(registry, "runtime", lambda name: Module if name == "exllamav2" else found(name))
    pair = arms.pair(Request(), "runtime", "eager", "exllamav2", (card("NVIDIA H200"),))
    assert pair.implied == {"cache": ("dynamic", "engine"), "attention": ("sdpa", "engine")}


def test_a_condition_of_the_host_is_refused(card: MakeCard) -> None:
    with pytest.raises(BadPair, match="host_condition=busy:2: an A/B compares cells on the host as it is"):
        arms.pair(Request(host_condition="busy:2"), "runtime", "eager", "graph", (card("NVIDIA H200"),))
    arms.pair(Request(host_condition="none"), "runtime", "eager", "graph", (card("NVIDIA H200"),))
