"""Entries of a study are resolved, here and for absent GPUs, and no cell comes twice."""

from __future__ import annotations

import pytest

from runner.cell import catalogue
from runner.errors import BadPair, BadValue, UnknownName
from runner.plan import absent
from runner.study.declared import Arms
from runner.study.machines import ThisMachine
from runner.study.planned import plan_study
from tests.support import cputime
from tests.support.studies import entry, planned, study


def test_a_cell_of_this_machine_is_resolved() -> None:
    found = planned(entry(runtime="eager", cache="static"))
    assert (found.gpu, found.waits_for, found.obstacle, found.pair) == ("cpu", None, None, None)
    assert found.title == "tiny 64 bf16 eager static cpu"
    assert found.keys == (found.plans[0].cell.key,)


def test_a_cell_of_an_absent_gpu_is_resolved_by_the_catalogue() -> None:
    found = planned(entry(gpu="l4", model="qwen2.5-7b", ctx="2048"))
    assert (found.gpu, found.waits_for, found.obstacle) == ("l4", "l4", None)
    assert found.title == "qwen2.5-7b 2048 bf16 eager dynamic l4"


def test_a_cell_that_does_not_fit_says_why() -> None:
    found = planned(entry(gpu="l4", model="llama-3.1-8b", ctx="100000"))
    # 16.06 GB of weights, 131072 B x 100008 = 13.1 GB of KV, and what verification and the prompt take
    assert found.obstacle is not None
    assert "this device has 24.0 GB" in found.obstacle


def test_a_present_card_is_not_taken_from_the_catalogue() -> None:
    card = absent.card(catalogue.gpus()["h100"])
    assert card is not None
    (found,) = plan_study(study(entry(gpu="auto", model="qwen2.5-7b")), ThisMachine((card,)))
    assert (found.gpu, found.waits_for) == ("h100", None)


def test_a_gpu_of_unknown_memory_only_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absent, "card", lambda _entry: None)
    found = planned(entry(gpu="l4", model="qwen2.5-7b"))
    assert (found.plans, found.waits_for) == ((), "l4")
    assert "l4 qwen2.5-7b 64" in found.title


def test_arms_are_planned_as_a_pair() -> None:
    found = planned(entry(Arms("cache", "dynamic", "static")))
    assert found.pair is not None
    assert [plan.cell.cache for plan in found.plans] == ["dynamic", "static"]
    assert found.title == "A/B dynamic/static tiny 64 bf16 eager cpu"
    assert planned(entry(Arms("none", "auto", "auto"))).title == "A/A tiny 64 bf16 eager dynamic cpu"


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"gpu": "l44"}, UnknownName, "s.yaml:1: matrix: unknown gpu 'l44'; did you mean l4?"),
        ({"runtime": "graph"}, BadPair, "s.yaml:1: matrix: runtime=graph needs a CUDA GPU"),
        ({"ctx": "9999999"}, BadValue, "s.yaml:1: matrix: ctx=9999999"),
    ],
)
def test_an_error_names_the_place_in_the_file(fields: dict[str, str], error: type[Exception], said: str) -> None:
    with pytest.raises(error) as raised:
        planned(entry(**fields))
    assert str(raised.value).startswith(said)


def test_two_entries_of_one_cell_are_refused() -> None:
    twice = study(entry(dtype="auto"), entry(place="s.yaml:9: include", dtype="bf16"))
    with pytest.raises(BadValue, match=r"s.yaml:9: include: gives tiny 64 bf16 eager dynamic cpu again, like s.yaml:1"):
        plan_study(twice, ThisMachine(()))
    assert len(plan_study(study(entry(seed="0"), entry(seed="1")), ThisMachine(()))) == 2


@pytest.mark.slow
def test_ten_thousand_cells_are_planned_quickly() -> None:
    gpus, runtimes = ("h100", "l4", "a100", "l40s"), ("eager", "graph", "compile", "fused")
    entries = [
        entry(gpu=gpu, model=model, runtime=runtime, ctx=str(1000 + ctx))
        for gpu in gpus
        for model in ("qwen2.5-7b", "mistral-7b", "llama-3.1-8b")
        for runtime in runtimes
        for ctx in range(209)
    ]
    planned, took_s = cputime.timed(lambda: plan_study(study(*entries), ThisMachine(())))
    assert len(planned) == 10032
    assert took_s < 3.0  # 0.9 s on an idle machine


@pytest.mark.parametrize("fields", [{"device": "1"}, {"weights": "./no-such-folder"}])
def test_a_device_or_weights_of_an_absent_gpus_machine_are_no_error_here(fields: dict[str, str]) -> None:
    away = planned(entry(gpu="l4", model="qwen2.5-7b", **fields))
    assert (away.plans, away.waits_for) == ((), "l4")


def test_the_same_cell_with_and_without_energy_is_two_entries() -> None:
    fields = {"gpu": "h100", "model": "qwen2.5-7b"}
    with_energy, plain = plan_study(study(entry(**fields, energy="on"), entry(**fields)), ThisMachine(()))
    assert with_energy.keys == plain.keys
    assert (with_energy.plans[0].energy, plain.plans[0].energy) == (True, False)


def test_the_same_cell_in_another_number_of_windows_is_another_entry() -> None:
    entries = [entry(cache="static", protocol="tail-long", windows=text) for text in ("auto", "20", "40")]
    found = plan_study(study(*entries), ThisMachine(()))
    assert len({each.keys for each in found}) == 1
    assert [each.plans[0].protocol.windows for each in found] == [10, 20, 40]
    cell = found[0].title
    assert [each.title for each in found[1:]] == [f"{cell} custom-5-20x300", f"{cell} custom-5-40x300"]
    with pytest.raises(BadValue, match="again"):
        plan_study(study(*entries, entry(cache="static", protocol="tail-long", windows="10")), ThisMachine(()))


def test_energy_of_a_cpu_is_refused_with_its_place() -> None:
    with pytest.raises(BadPair, match=r"^s\.yaml:1: matrix: energy=on needs a GPU, whose energy NVML counts"):
        planned(entry(energy="on"))


def test_the_same_cell_under_another_condition_of_the_host_is_another_entry() -> None:
    entries = [entry(host_condition=text) for text in ("none", "pinned:1", "busy:8")]
    plain, pinned, busy = plan_study(study(*entries), ThisMachine(()))
    assert plain.keys == pinned.keys == busy.keys
    assert [each.title for each in (pinned, busy)] == [f"{plain.title} pinned:1", f"{plain.title} busy:8"]
    with pytest.raises(BadValue, match="again"):
        plan_study(study(*entries, entry()), ThisMachine(()))
