"""Resolution: every `auto`, every refusal, and the order in which they come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from runner import registry
from runner.cell import catalogue
from runner.cell.scheme import Scheme
from runner.declarations import KernelDeclaration, RuntimeDeclaration
from runner.errors import (
    BadCheckpoint,
    BadPair,
    BadValue,
    GpuAmbiguous,
    GpuNotFound,
    NotAvailable,
    UnknownName,
)
from runner.machine.nvml import InstalledGpu
from runner.plan.request import Request
from runner.plan.resolve import resolve

MakeCard = Callable[..., InstalledGpu]


def test_auto_without_a_gpu_is_the_small_model_on_the_cpu() -> None:
    plan = resolve(Request(), ())
    cell = plan.cell
    assert (cell.gpu, cell.model, cell.ctx, cell.quant, cell.kernel) == (
        "cpu",
        "qwen2.5-0.5b",
        256,
        "bf16",
        "torch-cpu",
    )
    assert (cell.runtime, cell.cache, cell.attention, cell.dtype) == ("eager", "dynamic", "sdpa", "bf16")
    assert (cell.weights_id, cell.options) == ("synthetic-v1", {})
    assert (plan.protocol.name, plan.seed, plan.study, plan.flags) == ("paper", 0, "adhoc", ())
    assert (plan.device.kind, plan.device.uuid, plan.memory_bytes, plan.checkpoint) == ("cpu", None, None, None)


def test_auto_needs_the_model_that_it_stands_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = (catalogue.SHIPPED / "models.yaml").read_text(encoding="utf-8")
    (tmp_path / "models.yaml").write_text(f"tiny:{shipped.partition('tiny:')[2]}", encoding="utf-8")
    (tmp_path / "gpus.yaml").symlink_to(catalogue.SHIPPED / "gpus.yaml")
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(BadValue, match=r"model=auto is qwen2.5-0.5b here, which .*models.yaml does not have"):
        resolve(Request(), ())
    assert resolve(Request(model="tiny"), ()).cell.model == "tiny"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sinthetic", "; did you mean synthetic?"),
        ("enw:W", "; did you mean env:W?"),
        ("Qwen/Qwen2.5-0.5B", "; for a checkpoint on the hub, add it to models.yaml and use weights=hub"),
        ("./here", " (weights is"),
    ],
)
def test_a_folder_that_is_not_there_may_be_a_slip_for_something_else(typed: str, meant: str) -> None:
    with pytest.raises(BadCheckpoint) as refused:
        resolve(Request(model="tiny", weights=typed), ())
    assert f"no such folder{meant}" in str(refused.value)


def test_auto_with_one_gpu_is_the_7b_on_it(card: MakeCard) -> None:
    l4 = card("NVIDIA L4")
    plan = resolve(Request(), (l4,))
    assert (plan.cell.gpu, plan.cell.model, plan.cell.ctx, plan.cell.kernel) == (
        "l4",
        "qwen2.5-7b",
        2048,
        "cublas",
    )
    assert (plan.device.kind, plan.device.uuid, plan.device.bandwidth_gbs) == ("cuda", l4.uuid, 300)
    assert plan.memory_bytes == l4.memory_bytes


def test_the_cpu_can_be_asked_for_beside_a_gpu(card: MakeCard) -> None:
    assert resolve(Request(gpu="cpu"), (card("NVIDIA L4"),)).device.kind == "cpu"


def test_every_field_can_be_given() -> None:
    plan = resolve(
        Request(
            gpu="cpu",
            model="tiny",
            ctx="64",
            quant="bf16",
            kernel="torch-cpu",
            runtime="eager",
            cache="static",
            dtype="fp32",
            attention="sdpa",
            weights="synthetic",
            protocol="tail",
            steps="100",
            warmup="7",
            seed="3",
            where="here",
            device="auto",
            study="s",
            options="none",
            stack="modern",
        ),
        (),
    )
    assert (plan.cell.model, plan.cell.cache, plan.cell.dtype) == ("tiny", "static", "fp32")
    assert (plan.protocol.name, plan.protocol.warmup, plan.protocol.steps) == ("custom", 7, 100)
    assert (plan.seed, plan.study) == (3, "s")


def test_a_missing_gpu_is_one_clear_line(card: MakeCard) -> None:
    with pytest.raises(GpuNotFound) as caught:
        resolve(Request(gpu="l4"), (card("NVIDIA H200"),))
    assert str(caught.value) == ("this machine has no L4: found NVIDIA H200 (gpu 0); choose gpu=auto or gpu=h200")


def test_a_missing_gpu_on_a_machine_without_any() -> None:
    with pytest.raises(GpuNotFound) as caught:
        resolve(Request(gpu="l4"), ())
    assert str(caught.value) == "this machine has no L4: found no GPU; choose gpu=auto or gpu=cpu"


def test_the_gpu_is_checked_before_anything_else() -> None:
    with pytest.raises(GpuNotFound):
        resolve(Request(gpu="l4", model="nonsense", ctx="-1", quant="gptq", stack="paper"), ())


def test_several_gpus_are_listed_with_index_name_and_uuid(card: MakeCard) -> None:
    cards = (card("NVIDIA L4"), card("NVIDIA L4", 1))
    with pytest.raises(GpuAmbiguous, match="choose with device=0 or device=GPU-0") as caught:
        resolve(Request(), cards)
    for one in cards:
        assert f"{one.index}: {one.name} {one.uuid}" in str(caught.value)


def test_the_gpus_name_can_settle_it(card: MakeCard) -> None:
    cards = (card("NVIDIA L4"), card("NVIDIA H200", 1))
    assert resolve(Request(gpu="h200"), cards).device.uuid == cards[1].uuid


@pytest.mark.parametrize(
    "device", ["1", "GPU-00000001", "gpu-00000001-AAAA", "GPU-00000001-aaaa-bbbb-cccc-dddddddddddd"]
)
def test_a_gpu_is_chosen_by_index_or_uuid(card: MakeCard, device: str) -> None:
    cards = (card("NVIDIA L4"), card("NVIDIA L4", 1))
    assert resolve(Request(device=device), cards).device.uuid == cards[1].uuid


def test_a_uuid_prefix_of_several_is_ambiguous(card: MakeCard) -> None:
    with pytest.raises(GpuAmbiguous):
        resolve(Request(device="GPU-0000"), (card("NVIDIA L4"), card("NVIDIA L4", 1)))


@pytest.mark.parametrize("device", ["2", "GPU-ffff", "g", "gpu", "GPU-", "00000000-aaaa", "cuda:0"])
def test_a_device_that_is_not_there(card: MakeCard, device: str) -> None:
    with pytest.raises(GpuNotFound, match=rf"no GPU matches device={device}: found NVIDIA L4 \(gpu 0\)"):
        resolve(Request(device=device), (card("NVIDIA L4"),))


def test_a_device_without_any_gpu() -> None:
    with pytest.raises(GpuNotFound, match="device=0: found no GPU; choose device=auto or gpu=cpu"):
        resolve(Request(device="0"), ())


def test_a_device_that_is_another_gpu_than_asked_for(card: MakeCard) -> None:
    with pytest.raises(GpuNotFound, match=r"gpu 0 is NVIDIA L4 \(l4\), not h200"):
        resolve(Request(gpu="h200", device="0"), (card("NVIDIA L4"), card("NVIDIA H200", 1)))


def test_the_cpu_takes_no_device() -> None:
    with pytest.raises(BadPair, match="device=0 does not go with gpu=cpu"):
        resolve(Request(gpu="cpu", device="0"), ())


def test_a_sliced_card_is_refused(card: MakeCard) -> None:
    with pytest.raises(NotAvailable, match="MIG mode"):
        resolve(Request(), (card("NVIDIA H200", mig=True),))


SLICED = r"gpu 0 \(NVIDIA H200\) is in MIG mode, and a slice of a card has no known bandwidth"


@pytest.mark.parametrize("asked", [{}, {"gpu": "h200"}, {"device": "0"}, {"device": "GPU-00000000"}])
def test_a_sliced_card_that_is_asked_for_is_refused_by_name(card: MakeCard, asked: dict[str, str]) -> None:
    others = (card("NVIDIA L4", 1),) if asked else ()
    with pytest.raises(NotAvailable, match=SLICED):
        resolve(Request(**asked), (card("NVIDIA H200", mig=True), *others))


@pytest.mark.parametrize("gpu", ["auto", "h200"])
def test_a_whole_card_is_taken_beside_a_sliced_one(card: MakeCard, gpu: str) -> None:
    cards = (card("NVIDIA H200", mig=True), card("NVIDIA H200", 1))
    assert resolve(Request(gpu=gpu), cards).device.uuid == cards[1].uuid


@pytest.mark.parametrize("device", ["MIG-33333333-aaaa-bbbb-cccc-000000000004", "MIG-GPU-00000000/1/0"])
@pytest.mark.parametrize("present", [True, False])
def test_a_slice_as_device_is_refused_by_name(card: MakeCard, device: str, present: bool) -> None:
    cards = (card("NVIDIA H200", mig=True),) if present else ()
    with pytest.raises(GpuNotFound, match=f"device={device} names a MIG instance: .* no known bandwidth"):
        resolve(Request(device=device), cards)


def test_no_card_is_advised_that_would_be_refused(card: MakeCard) -> None:
    dead, sliced = card("NVIDIA L4", fault=LOST), card("NVIDIA H200", 1, mig=True)
    with pytest.raises(GpuNotFound, match=r"; choose gpu=auto or gpu=l40s$"):
        resolve(Request(gpu="a100"), (dead, sliced, card("NVIDIA L40S", 2)))
    with pytest.raises(GpuNotFound, match=r"; choose gpu=cpu$"):
        resolve(Request(gpu="a100"), (dead, sliced))


LOST = "NVML said 'GPU is lost'"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "asked", [{}, {"gpu": "l4"}, {"device": "1"}, {"device": "GPU-00000001"}, {"gpu": "l4", "device": "1"}]
)
def test_a_healthy_card_is_measured_beside_a_dead_one(card: MakeCard, asked: dict[str, str], known: bool) -> None:
    cards = (card("NVIDIA L4" if known else "", fault=LOST), card("NVIDIA L4", 1))
    plan = resolve(Request(**asked), cards)
    assert (plan.device.uuid, plan.cell.gpu) == (cards[1].uuid, "l4")


@pytest.mark.parametrize("name", ["NVIDIA L4", ""])
@pytest.mark.parametrize("asked", [{"device": "0"}, {"gpu": "l4", "device": "0"}])
def test_a_dead_card_that_is_asked_for_is_named(card: MakeCard, asked: dict[str, str], name: str) -> None:
    called = r"gpu 0 \(NVIDIA L4\)" if name else "gpu 0"
    with pytest.raises(GpuNotFound, match=f"^{called} does not answer: {LOST}: choose another card"):
        resolve(Request(**asked), (card(name, fault=LOST), card("NVIDIA L4", 1)))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"gpu": "h200"}, r"this machine has no H200.*: found NVIDIA L4 \(gpu 1\); gpu 0 does not answer"),
        ({"device": "GPU-00000000"}, r"no GPU matches device=GPU-0+: found NVIDIA L4 \(gpu 1\); gpu 0 does not answer"),
        ({"device": "2"}, r"no GPU matches device=2: found NVIDIA L4 \(gpu 1\); gpu 0 does not answer"),
    ],
)
def test_a_missing_gpu_may_be_the_dead_one(card: MakeCard, asked: dict[str, str], said: str) -> None:
    with pytest.raises(GpuNotFound, match=f"{said}: {LOST}"):
        resolve(Request(**asked), (card("", fault=LOST), card("NVIDIA L4", 1)))


def test_a_gpu_of_which_only_the_dead_one_is_there_is_named(card: MakeCard) -> None:
    with pytest.raises(GpuNotFound, match=r"^gpu 0 \(NVIDIA H200\) does not answer: " + LOST):
        resolve(Request(gpu="h200"), (card("NVIDIA H200", fault=LOST), card("NVIDIA L4", 1)))


def test_two_healthy_cards_stay_ambiguous_beside_a_dead_one(card: MakeCard) -> None:
    with pytest.raises(GpuAmbiguous, match="2 GPUs match the request"):
        resolve(Request(), (card("", fault=LOST), card("NVIDIA L4", 1), card("NVIDIA L4", 2)))


@pytest.mark.parametrize(
    ("visible", "installed", "said"),
    [
        ("", 0, "found no GPU (CUDA_VISIBLE_DEVICES='' may hide others); choose gpu=auto or gpu=cpu"),
        ("0", 1, "found NVIDIA L4 (gpu 0) (CUDA_VISIBLE_DEVICES='0' may hide others)"),
    ],
)
def test_a_gpu_that_is_hidden_is_not_said_to_be_missing_without_a_hint(
    card: MakeCard, monkeypatch: pytest.MonkeyPatch, visible: str, installed: int, said: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(GpuNotFound) as caught:
        resolve(Request(gpu="h200"), (card("NVIDIA L4"),) * installed)
    assert said in str(caught.value)


def test_a_kernels_capability_is_not_checked_where_nothing_tells_the_cards(card: MakeCard) -> None:
    unknown = replace(card("NVIDIA L4"), compute_capability=None)
    assert resolve(Request(quant="awq", kernel="marlin"), (unknown,)).cell.kernel == "marlin"


@pytest.mark.parametrize("gpu", ["auto", "nvidia-h100-pcie"])
def test_a_card_that_the_catalogue_lacks_is_measured_under_its_own_name(card: MakeCard, gpu: str) -> None:
    plan = resolve(Request(gpu=gpu), (card("NVIDIA H100 PCIe", memory_bytes=80 * 10**9),))
    assert (plan.cell.gpu, plan.device.bandwidth_gbs, plan.device.catalogued) == ("nvidia-h100-pcie", None, False)


@pytest.mark.parametrize(
    ("field", "value", "near"),
    [
        ("gpu", "h10", "h100"),
        ("model", "qwen2.5-7", "qwen2.5-7b"),
        ("quant", "gtpq", "gptq"),
        ("runtime", "egaer", "eager"),
        ("kernel", "cublass", "cublas"),
        ("cache", "statik", "static"),
        ("dtype", "bf61", "bf16"),
        ("attention", "spda", "sdpa"),
        ("protocol", "papre", "paper"),
        ("where", "her", "here"),
        ("stack", "moden", "modern"),
    ],
)
def test_an_unknown_word_gets_the_nearest_one(field: str, value: str, near: str) -> None:
    with pytest.raises(UnknownName, match=f"did you mean {near}"):
        resolve(Request(**{field: value}), ())


@pytest.mark.parametrize(
    ("field", "value"),
    [("runtime", "fused"), ("kernel", "fused")],
)
def test_a_word_that_is_not_built_yet_is_not_available(field: str, value: str) -> None:
    with pytest.raises(NotAvailable, match="not available in this version"):
        resolve(Request(**{field: value}), ())


def test_a_kernel_of_another_device_is_no_pair() -> None:
    with pytest.raises(BadPair, match="kernel=cublas needs a CUDA GPU, and this cell is on the CPU"):
        resolve(Request(kernel="cublas"), ())


class FakeModule:
    def __init__(self, declaration: RuntimeDeclaration | KernelDeclaration) -> None:
        self.DECLARATION = declaration


def test_pairs_that_do_not_exist(card: MakeCard) -> None:
    cards = (card("NVIDIA L4"),)
    with pytest.raises(BadPair, match=r"quant=bf16 does not go with kernel=marlin \(it goes with: awq, gptq\)"):
        resolve(Request(kernel="marlin"), cards)
    with pytest.raises(BadPair, match=r"quant=gptq needs a CUDA GPU, which its kernels need \(exllamav2, marlin\)"):
        resolve(Request(quant="gptq"), ())
    with pytest.raises(BadPair, match=r"quant=gptq does not go with runtime=compile \(it goes with: bf16\)"):
        resolve(Request(quant="gptq", runtime="compile"), cards)


def test_a_cache_that_only_another_runtime_has_is_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = RuntimeDeclaration("exllamav2", ("cuda", "cpu"), ("engine",), ("engine",), "none", 2048)
    original = registry.runtime
    monkeypatch.setattr(registry, "runtime_names", lambda: ("eager", "exllamav2"))
    monkeypatch.setattr(registry, "runtime", lambda name: FakeModule(engine) if name == "exllamav2" else original(name))
    with pytest.raises(BadPair, match="cache=engine does not go with runtime=eager"):
        resolve(Request(cache="engine"), ())
    assert resolve(Request(runtime="exllamav2"), ()).cell.cache == "engine"


def test_a_runtime_that_takes_no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = RuntimeDeclaration("eager", ("cuda", "cpu"), ("dynamic",), ("sdpa",), "none", 2048)
    monkeypatch.setattr(registry, "runtime", lambda _name: FakeModule(runtime))
    with pytest.raises(BadPair, match="runtime=eager takes no options"):
        resolve(Request(options="mode:x"), ())


def test_an_option_that_the_runtime_does_not_take() -> None:
    with pytest.raises(UnknownName, match="unknown option of runtime=eager 'mode'"):
        resolve(Request(options="mode:x"), ())


def test_options_are_checked_against_the_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = RuntimeDeclaration(
        "eager", ("cuda", "cpu"), ("dynamic",), ("sdpa",), "none", 2048, options={"mode": ("slow", "fast")}
    )
    monkeypatch.setattr(registry, "runtime", lambda _name: FakeModule(runtime))
    assert resolve(Request(options="mode:fast"), ()).cell.options == {"mode": "fast"}
    with pytest.raises(UnknownName, match="did you mean mode"):
        resolve(Request(options="mod:fast"), ())
    with pytest.raises(UnknownName, match="did you mean fast"):
        resolve(Request(options="mode:fats"), ())


def test_the_largest_ctx_is_named() -> None:
    # tiny has 4096 positions: 4096 - 5 - 30 = 4061
    with pytest.raises(BadValue, match="the largest ctx is 4061"):
        resolve(Request(model="tiny", ctx="4062"), ())
    assert resolve(Request(model="tiny", ctx="4061"), ()).cell.ctx == 4061


def test_too_many_steps_for_any_ctx() -> None:
    with pytest.raises(BadValue, match="choose fewer steps"):
        resolve(Request(model="tiny", ctx="1", steps="5000"), ())


@pytest.mark.parametrize(
    ("field", "value"),
    [("ctx", "0"), ("ctx", "-5"), ("ctx", "2k"), ("steps", "0"), ("steps", "2"), ("warmup", "0"), ("seed", "-1")],
)
def test_numbers_out_of_range(field: str, value: str) -> None:
    with pytest.raises(BadValue, match=f"^{field}="):
        resolve(Request(**{field: value}), ())


def test_too_few_steps_for_a_tail() -> None:
    with pytest.raises(BadValue, match="p90 needs 29"):
        resolve(Request(protocol="tail", steps="28"), ())


def test_a_model_without_a_hub_checkpoint() -> None:
    with pytest.raises(BadCheckpoint, match=r"no hub checkpoint of tiny in bf16 \(it has: none\)"):
        resolve(Request(model="tiny", weights="hub"), ())


def test_a_mistyped_word_for_weights() -> None:
    with pytest.raises(BadCheckpoint, match="no such folder; did you mean synthetic"):
        resolve(Request(weights="syntetic"), ())


L4 = "NVIDIA L4"
WRITTEN = Path(__file__).parents[2] / "written"


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


def test_unquantised_weights_have_no_scheme(card: MakeCard) -> None:
    plan = resolve(Request(gpu="l4", dtype="fp16"), (card(L4),))
    assert (plan.cell.dtype, plan.scheme) == ("fp16", None)


def test_the_choices_of_a_format_are_options_of_the_cell(card: MakeCard) -> None:
    plan = resolve(Request(gpu="l4", quant="gptq", options="sym:false"), (card(L4),))
    assert plan.scheme == Scheme(128, sym=False)
    assert plan.cell.key != resolve(Request(gpu="l4", quant="gptq"), (card(L4),)).cell.key
    single = resolve(Request(quant="bnb-nf4", options="double-quant:off"), ())
    assert single.scheme == Scheme(64, double_quant=False)


def test_marlin_has_no_zero_points_for_gptq(card: MakeCard) -> None:
    said = (
        "kernel=marlin cannot multiply these weights: it has no zero points for gptq: sym:false needs kernel=exllamav2"
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
    said = f"kernel={kernel} needs compute capability {least} or more, gpu 0 (NVIDIA T4) has {below}"
    assert str(caught.value) == f"{said}: choose another kernel, quant or card"


def test_a_kernel_is_refused_outside_its_stack(card: MakeCard) -> None:
    asked = Request(gpu="l4", quant="awq", kernel="marlin")
    assert resolve(replace(asked, stack="modern"), (card(L4),)).cell.kernel == "marlin"
    with pytest.raises(BadPair, match=r"stack=paper does not go with kernel=marlin \(it goes with: modern\)"):
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


def test_an_option_of_another_format_is_unknown() -> None:
    with pytest.raises(UnknownName, match="unknown option of runtime=eager, quant=bnb-nf4 'sym'"):
        resolve(Request(quant="bnb-nf4", options="sym:false"), ())


def test_a_checkpoint_has_made_the_choices_itself(card: MakeCard) -> None:
    weights = str(WRITTEN / "gptq-asym")
    asked = Request(gpu="l4", model="tiny", ctx="64", quant="gptq", weights=weights)
    plan = resolve(asked, (card(L4),))
    assert plan.scheme == Scheme(128, sym=False)
    assert plan.cell.options == {}
    with pytest.raises(BadPair, match="sym is for synthetic weights, a checkpoint has its own"):
        resolve(replace(asked, options="sym:true"), (card(L4),))
    with pytest.raises(BadPair, match="kernel=marlin cannot multiply these weights"):
        resolve(replace(asked, kernel="marlin"), (card(L4),))


def test_the_engine_runs_gptq_on_its_own_kernel_cache_and_attention(card: MakeCard) -> None:
    cell = resolve(Request(gpu="l4", quant="gptq", runtime="exllamav2"), (card(L4),)).cell
    assert (cell.kernel, cell.cache, cell.attention, cell.dtype) == ("exllamav2", "engine", "engine", "fp16")
    assert cell.options == {"sdpa": "flash", "sym": "true"}
    with pytest.raises(BadPair, match=r"quant=awq does not go with runtime=exllamav2 \(it goes with: gptq\)"):
        resolve(Request(gpu="l4", quant="awq", runtime="exllamav2"), (card(L4),))
    with pytest.raises(BadPair, match=r"kernel=marlin does not go with runtime=exllamav2 \(it goes with: exllamav2\)"):
        resolve(Request(gpu="l4", quant="gptq", kernel="marlin", runtime="exllamav2"), (card(L4),))
