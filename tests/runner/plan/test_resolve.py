"""Resolution: every `auto`, every refusal, and the order in which they come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from runner import registry
from runner.cell import catalogue
from runner.cell.protocol import NAMED
from runner.cell.scheme import Scheme
from runner.declarations import RuntimeDeclaration
from runner.errors import BadPair, BadValue, GpuNotFound, NotAvailable, UnknownName
from runner.hostcondition.condition import HostCondition
from runner.machine.nvml import InstalledGpu
from runner.plan.request import Request
from runner.plan.resolve import resolve, varied
from tests.fakes.modules import FakeModule

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


def test_the_gpu_is_checked_before_anything_else() -> None:
    with pytest.raises(GpuNotFound):
        resolve(Request(gpu="l4", model="nonsense", ctx="-1", quant="gptq", stack="paper"), ())


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


def test_attention_that_no_runtime_has_is_not_available() -> None:
    with pytest.raises(NotAvailable, match="attention=flash-attn is not available in this version"):
        resolve(Request(attention="flash-attn"), ())
    with pytest.raises(UnknownName, match=r"^unknown attention 'flash' \(allowed: auto, sdpa, engine\)$"):
        resolve(Request(attention="flash"), ())


def test_the_runtime_fused_implies_its_kernel_attention_cache_and_dtype(card: MakeCard) -> None:
    cell = resolve(Request(runtime="fused"), (card("NVIDIA H200"),)).cell
    assert (cell.kernel, cell.attention, cell.cache, cell.dtype, cell.quant) == (
        *("fused", "engine", "static", "bf16"),
        "bf16",
    )


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"runtime": "graph", "kernel": "fused"}, "runtime=graph does not go with kernel=fused"),
        ({"runtime": "fused", "kernel": "cublas"}, "kernel=cublas does not go with runtime=fused"),
        ({"runtime": "fused", "cache": "dynamic"}, "cache=dynamic does not go with runtime=fused"),
        ({"runtime": "fused", "dtype": "fp16"}, "dtype=fp16 does not go with kernel=fused"),
        ({"runtime": "fused", "quant": "gptq"}, "quant=gptq does not go with runtime=fused"),
    ],
)
def test_what_does_not_go_with_the_fused_kernel_is_one_line(
    request_: dict[str, str], said: str, card: MakeCard
) -> None:
    with pytest.raises(BadPair, match=said) as refused:
        resolve(Request(**request_), (card("NVIDIA H200"),))
    assert "\n" not in str(refused.value)


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
    [
        ("ctx", "0"),
        ("ctx", "-5"),
        ("ctx", "2k"),
        ("steps", "0"),
        ("steps", "2"),
        ("warmup", "0"),
        ("windows", "0"),
        ("seed", "-1"),
    ],
)
def test_numbers_out_of_range(field: str, value: str) -> None:
    with pytest.raises(BadValue, match=f"^{field}="):
        resolve(Request(**{field: value}), ())


def test_too_few_steps_for_a_tail() -> None:
    with pytest.raises(BadValue, match="p90 needs 29"):
        resolve(Request(protocol="tail", steps="28"), ())


def test_several_windows_do_not_go_with_a_cache_that_grows() -> None:
    said = "^protocol=tail-long does not go with cache=dynamic: .*: choose protocol=tail or cache=static$"
    with pytest.raises(BadPair, match=said) as caught:
        resolve(Request(gpu="cpu", protocol="tail-long"), ())
    assert "\n" not in str(caught.value)
    with pytest.raises(BadPair, match=r"^protocol=tail-long does not go with cache=dynamic"):
        resolve(Request(gpu="cpu", protocol="tail-long", steps="30"), ())
    plan = resolve(Request(gpu="cpu", protocol="tail-long", cache="static"), ())
    assert plan.protocol == NAMED["tail-long"]
    assert resolve(Request(gpu="cpu", protocol="tail", cache="dynamic"), ()).protocol == NAMED["tail"]


@pytest.mark.parametrize(
    ("counts", "title"),
    [
        ({"protocol": "tail-long", "windows": "100"}, "custom-5-100x300"),
        ({"protocol": "tail-long", "windows": "10"}, "tail-long-5-10x300"),
        ({"protocol": "tail-long", "windows": "1"}, "custom-5-300"),
        ({"windows": "4"}, "custom-5-4x30"),
        ({"protocol": "tail", "steps": "20", "warmup": "2", "windows": "2"}, "custom-2-2x20"),
        ({"protocol": "tail-long"}, "tail-long-5-10x300"),
    ],
)
def test_the_number_of_windows_replaces_that_of_the_protocol(counts: dict[str, str], title: str) -> None:
    assert resolve(Request(gpu="cpu", cache="static", **counts), ()).protocol.title == title


@pytest.mark.parametrize("counts", [{"protocol": "tail-long"}, {"protocol": "tail"}, {}])
def test_windows_of_ones_own_do_not_go_with_a_cache_that_grows(counts: dict[str, str]) -> None:
    said = "^windows=4 does not go with cache=dynamic: only the first of 4 .*: choose windows=1 or cache=static$"
    with pytest.raises(BadPair, match=said):
        resolve(Request(gpu="cpu", windows="4", **counts), ())
    assert resolve(Request(gpu="cpu", windows="1", **counts), ()).protocol.windows == 1


def test_the_number_of_windows_is_no_part_of_the_cell() -> None:
    asked = Request(gpu="cpu", protocol="tail-long", cache="static")
    assert resolve(replace(asked, windows="20"), ()).cell.key == resolve(asked, ()).cell.key


def test_each_window_of_a_tail_must_fit_into_the_model() -> None:
    # 3791 + 5 + 300 = 4096 positions of the tiny model
    asked = Request(gpu="cpu", model="tiny", ctx="3791", protocol="tail-long", cache="static")
    assert resolve(asked, ()).cell.ctx == 3791
    with pytest.raises(BadValue, match=r"300 timed steps in each of 10 windows goes beyond .* the largest ctx is 3791"):
        resolve(replace(asked, ctx="3792"), ())


L4 = "NVIDIA L4"
WRITTEN = Path(__file__).parents[2] / "written"


def test_unquantised_weights_have_no_scheme(card: MakeCard) -> None:
    plan = resolve(Request(gpu="l4", dtype="fp16"), (card(L4),))
    assert (plan.cell.dtype, plan.scheme) == ("fp16", None)


def test_the_choices_of_a_format_are_options_of_the_cell(card: MakeCard) -> None:
    plan = resolve(Request(gpu="l4", quant="gptq", options="sym:false"), (card(L4),))
    assert plan.scheme == Scheme(128, sym=False)
    assert plan.cell.key != resolve(Request(gpu="l4", quant="gptq"), (card(L4),)).cell.key
    single = resolve(Request(quant="bnb-nf4", options="double-quant:off"), ())
    assert single.scheme == Scheme(64, double_quant=False)


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
    with pytest.raises(
        BadPair, match="quant=awq does not go with runtime=exllamav2: choose quant=gptq, runtime=eager or "
    ):
        resolve(Request(gpu="l4", quant="awq", runtime="exllamav2"), (card(L4),))
    with pytest.raises(BadPair, match="kernel=marlin does not go with runtime=exllamav2: choose kernel=exllamav2"):
        resolve(Request(gpu="l4", quant="gptq", kernel="marlin", runtime="exllamav2"), (card(L4),))


@pytest.mark.parametrize(
    "fields",
    [
        {"runtime": "eager"},
        {"runtime": "graph", "quant": "awq"},
        {"runtime": "compile"},
        {"runtime": "fused"},
        {"runtime": "exllamav2", "quant": "gptq"},
        {"quant": "bnb-nf4", "options": "double-quant:off"},
    ],
)
@pytest.mark.parametrize("changes", [{"ctx": "4096"}, {"seed": "7"}, {"ctx": "17", "seed": "3"}, {}])
def test_ctx_and_seed_change_nothing_else_of_a_plan(
    card: MakeCard, fields: dict[str, str], changes: dict[str, str]
) -> None:
    h100 = replace(card("NVIDIA H100 80GB HBM3"), compute_capability="9.0")
    request = Request(**fields, **changes)
    assert varied(resolve(Request(**fields), (h100,)), request) == resolve(request, (h100,))


def test_a_varied_ctx_is_checked(card: MakeCard) -> None:
    plan = resolve(Request(), (card("NVIDIA L4"),))
    with pytest.raises(BadValue, match="ctx=9999999"):
        varied(plan, Request(ctx="9999999"))
    with pytest.raises(BadValue, match="seed=-1"):
        varied(plan, Request(seed="-1"))


@pytest.mark.parametrize(("text", "is_on"), [("auto", False), ("off", False), ("on", True)])
def test_energy_is_no_part_of_the_cell_and_goes_into_the_job(card: MakeCard, text: str, is_on: bool) -> None:
    plan = resolve(Request(energy=text), (card("NVIDIA L4"),))
    assert (plan.energy, plan.job("id", {}, 0, 0, 0.0).energy) == (is_on, is_on)
    assert plan.cell.key == resolve(Request(), (card("NVIDIA L4"),)).cell.key


@pytest.mark.parametrize("gpu", ["cpu", "auto"])
def test_energy_of_a_cpu_is_one_line(gpu: str) -> None:
    with pytest.raises(BadPair) as caught:
        resolve(Request(gpu=gpu, energy="on"), ())
    assert str(caught.value) == (
        "energy=on needs a GPU, whose energy NVML counts, and this cell is on the CPU: leave out energy"
    )
    assert not resolve(Request(gpu=gpu, energy="off"), ()).energy


def test_a_word_for_energy_that_nobody_has_is_unknown() -> None:
    with pytest.raises(UnknownName, match=r"^unknown energy 'yes' \(allowed: auto, on, off\)$"):
        resolve(Request(energy="yes"), ())


@pytest.mark.parametrize(
    ("text", "condition"),
    [("auto", None), ("none", None), ("pinned:1", HostCondition("pinned", 1)), ("busy:8", HostCondition("busy", 8))],
)
def test_a_condition_of_the_host_is_no_part_of_the_cell_and_goes_into_the_job(
    text: str, condition: HostCondition | None
) -> None:
    plan = resolve(Request(gpu="cpu", host_condition=text), ())
    assert (plan.host_condition, plan.job("id", {}, 0, 0, 0.0).host_condition) == (condition, condition)
    assert plan.cell.key == resolve(Request(gpu="cpu"), ()).cell.key
    assert plan.title == " ".join((plan.cell.title, *([text] if condition else [])))
