"""Which kernel, runtime, quant, dtype, card and stack go together, and which kernel auto stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from runner import registry
from runner.cell.scheme import Scheme
from runner.declarations import RuntimeDeclaration
from runner.errors import BadPair
from runner.machine.nvml import InstalledGpu
from runner.plan import pairs
from runner.plan.request import Request
from runner.plan.resolve import resolve
from tests.fakes.modules import FakeModule

MakeCard = Callable[..., InstalledGpu]


def test_a_kernels_capability_is_not_checked_where_nothing_tells_the_cards(card: MakeCard) -> None:
    unknown = replace(card("NVIDIA L4"), compute_capability=None)
    assert resolve(Request(quant="awq", kernel="marlin"), (unknown,)).cell.kernel == "marlin"


def test_a_kernel_of_another_device_is_no_pair() -> None:
    with pytest.raises(BadPair, match="kernel=cublas needs a CUDA GPU, and this cell is on the CPU"):
        resolve(Request(kernel="cublas"), ())


def test_pairs_that_do_not_exist(card: MakeCard) -> None:
    cards = (card("NVIDIA L4"),)
    with pytest.raises(
        BadPair, match="quant=bf16 does not go with kernel=marlin: choose quant=awq, quant=gptq or kernel"
    ):
        resolve(Request(kernel="marlin"), cards)
    with pytest.raises(
        BadPair, match=r"the kernels of quant=gptq \(exllamav2, marlin\) need a CUDA GPU, and this cell"
    ):
        resolve(Request(quant="gptq"), ())
    with pytest.raises(
        BadPair, match="quant=gptq does not go with runtime=compile: choose quant=bf16, runtime=eager, "
    ):
        resolve(Request(quant="gptq", runtime="compile"), cards)


def test_a_cache_that_only_another_runtime_has_is_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = RuntimeDeclaration("exllamav2", ("cuda", "cpu"), ("engine",), ("engine",), "none", 2048)
    original = registry.runtime
    monkeypatch.setattr(registry, "runtime_names", lambda: ("eager", "exllamav2"))
    monkeypatch.setattr(registry, "runtime", lambda name: FakeModule(engine) if name == "exllamav2" else original(name))
    with pytest.raises(BadPair, match="cache=engine does not go with runtime=eager"):
        resolve(Request(cache="engine"), ())
    assert resolve(Request(runtime="exllamav2"), ()).cell.cache == "engine"


L4 = "NVIDIA L4"


@pytest.mark.parametrize(
    ("quant", "kernel", "dtype", "options"),
    [
        ("bnb-nf4", "bitsandbytes", "bf16", {"double-quant": "on"}),
        ("awq", "marlin", "fp16", {}),
        ("gptq", "exllamav2", "fp16", {"sym": "true"}),
    ],
)
def test_each_quant_has_its_kernel_and_dtype(
    card: MakeCard, quant: str, kernel: str, dtype: str, options: dict[str, str]
) -> None:
    plan = resolve(Request(gpu="l4", quant=quant), (card(L4),))
    assert (plan.cell.quant, plan.cell.kernel, plan.cell.dtype, plan.cell.options) == (quant, kernel, dtype, options)
    assert plan.scheme == registry.packed_format(quant).scheme(options)


def test_marlin_has_no_zero_points_for_gptq(card: MakeCard) -> None:
    said = (
        "kernel=marlin cannot multiply these weights: it has no zero points for gptq: sym:false needs "
        "kernel=exllamav2: choose kernel=exllamav2 or other weights"
    )
    with pytest.raises(BadPair, match=said):
        resolve(Request(gpu="l4", quant="gptq", kernel="marlin", options="sym:false"), (card(L4),))


@pytest.mark.parametrize(
    ("kernel", "quant", "least"),
    [("marlin", "awq", "8.0"), ("autoawq-triton", "awq", "8.0"), ("exllamav2", "gptq", "6.0")],
)
def test_a_card_below_what_a_kernel_needs_is_refused(card: MakeCard, kernel: str, quant: str, least: str) -> None:
    asked = Request(quant=quant, kernel=kernel)
    for capability in (least, f"{least[0]}.9", "10.0"):
        resolve(asked, (replace(card("NVIDIA T4"), compute_capability=capability),))
    below = f"{int(least[0]) - 1}.5"
    with pytest.raises(BadPair) as caught:
        resolve(asked, (replace(card("NVIDIA T4"), compute_capability=below),))
    said = f"kernel={kernel} needs compute capability {least} or more, and gpu 0 (NVIDIA T4) has {below}"
    assert str(caught.value).startswith(f"{said}: choose ")


def test_a_kernel_is_refused_outside_its_stack(card: MakeCard) -> None:
    asked = Request(gpu="l4", quant="awq", kernel="marlin")
    assert resolve(replace(asked, stack="modern"), (card(L4),)).cell.kernel == "marlin"
    with pytest.raises(BadPair, match="stack=paper does not go with kernel=marlin: choose stack=modern"):
        resolve(replace(asked, stack="paper"), (card(L4),))
    assert resolve(Request(stack="paper"), ()).cell.kernel == "torch-cpu"


def test_a_kernel_that_no_graph_can_hold_is_refused_by_name(card: MakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    original = registry.kernel
    fixed = replace(original("cublas").DECLARATION, capturable=False)
    monkeypatch.setattr(registry, "kernel", lambda name: FakeModule(fixed) if name == "cublas" else original(name))
    assert resolve(Request(kernel="cublas"), (card(L4),)).cell.runtime == "eager"
    with pytest.raises(BadPair, match="kernel=cublas cannot be captured in a CUDA graph, which runtime=graph needs"):
        resolve(Request(kernel="cublas", runtime="graph"), (card(L4),))


@pytest.mark.parametrize("size", [32, 64, 128])
def test_marlin_takes_the_groups_it_was_built_for(size: int) -> None:
    refuses = registry.kernel("marlin").DECLARATION.refuses
    assert refuses(Scheme(size), "awq") is None
    assert refuses(Scheme(size, sym=True), "gptq") is None
    for quant in ("awq", "gptq"):
        said = refuses(Scheme(2 * size + 1, sym=True), quant)
        assert said == f"it takes groups of 32, 64, 128, not of {2 * size + 1}"


def test_the_projects_own_kernel_is_flagged_where_no_session_with_it_is_committed(card: MakeCard) -> None:
    ada = card("NVIDIA L4")
    hopper = replace(ada, compute_capability="9.0")
    assert pairs.flags("fused", ada) == ("untried-kernel",)
    assert pairs.flags("fused", hopper) == pairs.flags("cublas", ada) == pairs.flags("cublas", None) == ()
