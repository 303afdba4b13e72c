"""Commands that list the catalogue, beside cards that answer and cards that do not."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynvml
import pytest

from runner.machine import nvml
from runner.machine.nvml import InstalledGpu
from tests.fakes.pynvml_fake import Card, Driver, module, old_module
from tests.support.fakesession import fake_session, measured
from tests.support.processes import Main

LIST_GPUS = nvml.list_gpus


def test_gpus_marks_what_is_here(
    main: Main, monkeypatch: pytest.MonkeyPatch, card: Callable[..., InstalledGpu]
) -> None:
    monkeypatch.setattr(nvml, "list_gpus", lambda: (card("NVIDIA L4"), card("NVIDIA X1", 1)))
    code, out, _ = main("gpus")
    marked = [line.split()[1] for line in out.splitlines() if line.startswith("*")]
    assert (code, marked) == (0, ["l4", "cpu", "nvidia-x1"])
    assert re.search(r"l4 +300 GB/s +24 GB +72 W +ada +NVIDIA L4$", out, re.MULTILINE)
    assert re.search(r"nvidia-x1 +\? +\? +\? +none +NVIDIA X1 \(not in the catalogue: no r_floor\)$", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("command", "legend"), [("gpus", "in this machine"), ("models", "selected by auto on this machine")]
)
def test_lists_have_titles_aligned_columns_and_a_legend(main: Main, command: str, legend: str) -> None:
    header, *lines, last = main(command)[1].splitlines()
    rows = [line for line in lines if not line.startswith("(")]
    starts = [match.start() for match in re.finditer(r"(?<=  )\S", header)]
    words = starts[-1]  # the last column begins where its title does
    assert all(row[words - 1] == " " and row[words] != " " for row in rows)
    assert last == f"(* = {legend})"


def test_gpus_shows_the_floors_of_a_model_and_where_nothing_was_run(
    main: Main, monkeypatch: pytest.MonkeyPatch, card: Callable[..., InstalledGpu]
) -> None:
    monkeypatch.setattr(nvml, "list_gpus", lambda: (card("NVIDIA X1", 1),))
    code, out, _ = main("gpus", "--model", "qwen2.5-7b", "--ctx", "2048")
    assert code == 0
    assert re.search(r"jetson-thor +273 GB/s +52\.2 +16\.8 +128 GB +NVIDIA Jetson", out)
    assert re.search(r"nvidia-x1 +\? +\? +\? +\? +NVIDIA X1 \(not in the catalogue: no r_floor\)$", out, re.MULTILINE)
    assert "(memory shared with the CPU: gb10, jetson-orin, jetson-orin-nx, jetson-thor)" in out
    assert "(ms: memory floor of a step of qwen2.5-7b at ctx 2048: bytes that it must read / bandwidth;" in out
    assert "(untried, since no image runs there: gb10, jetson-orin, jetson-orin-nx, jetson-thor)" in out


FIRST, SECOND = (f"GPU-{index:08x}-aaaa-bbbb-cccc-dddddddddddd" for index in range(2))


LOST = pynvml.NVML_ERROR_GPU_IS_LOST


L4: dict[str, Any] = {"name": "NVIDIA L4", "capability": (8, 9)}


@pytest.fixture
def machine(main: Main, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Main]:
    """The command on a machine with a pretended driver: `machine(Card(...), visible="0")`."""

    def make(*cards: Card, visible: str | None = None, old: bool = False, init_error: int = 0) -> Main:
        driver = Driver(cards=list(cards), init_error=init_error)
        monkeypatch.setattr(nvml, "list_gpus", LIST_GPUS)
        monkeypatch.setattr(nvml, "DEV", tmp_path)
        monkeypatch.setitem(sys.modules, "pynvml", old_module(driver) if old else module(driver))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        return main

    return make


def stars(out: str) -> list[str]:
    return [line.split()[1] for line in out.splitlines() if line.startswith("*")]


DEAD_AND_L4 = (Card(FIRST, gone=LOST), Card(SECOND, **L4))


DEAD = "gpu 0 does not answer: NVML said 'GPU is lost'"


def test_gpus_and_models_answer_beside_a_dead_card_and_name_it(machine: Callable[..., Main]) -> None:
    main = machine(*DEAD_AND_L4)
    code, out, err = main("gpus")
    assert (code, stars(out), err) == (0, ["l4", "cpu"], "")
    assert out.splitlines()[-1] == f"! {DEAD}"
    code, out, err = main("models")
    assert (code, stars(out), err) == (0, ["qwen2.5-7b"], f"warning: {DEAD}\n")


def test_gpus_and_models_answer_where_a_card_is_sliced(machine: Callable[..., Main]) -> None:
    main = machine(Card(FIRST, mig=(1, 1)))
    sliced = "gpu 0 (NVIDIA H100 80GB HBM3) is in MIG mode, and a slice of a card has no known bandwidth"
    code, out, err = main("gpus")
    assert (code, stars(out), err) == (0, ["cpu"], "")
    assert f"! {sliced}" in out
    code, out, err = main("models")
    assert (code, stars(out)) == (0, [])
    assert f"warning: {sliced}" in err


@pytest.mark.parametrize(
    ("cards", "state", "said"),
    [
        ([Card(FIRST, gone=LOST)], {}, DEAD),
        ([Card(FIRST, **L4)], {"visible": "cuda:0"}, "CUDA_VISIBLE_DEVICES='cuda:0' names no GPU"),
        ([Card(FIRST, **L4)], {"visible": "MIG-1"}, "CUDA_VISIBLE_DEVICES='MIG-1' names a MIG instance"),
        ([], {"visible": "0"}, "CUDA_VISIBLE_DEVICES='0' names a GPU, and this machine has none"),
        ([], {"init_error": pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH}, "version mismatch"),
    ],
)
def test_without_a_gpu_that_answers_a_measurement_is_refused_and_the_catalogue_is_listed(
    machine: Callable[..., Main], monkeypatch: pytest.MonkeyPatch, cards: list[Card], state: dict[str, Any], said: str
) -> None:
    main = machine(*cards, **state)
    for command, marks in (("gpus", ["cpu"]), ("models", [])):
        code, out, err = main(command)
        assert (code, stars(out), len(err.splitlines())) == (0, marks, 1)
        assert err.startswith("warning: ")
        assert said in err
    for arguments in (("cell",), ("cell", "--device", "0"), ("ab", "--field", "ctx", "--a", "64", "--b", "128")):
        code, out, err = main(*arguments, "--spool", "s")
        assert (code, out, len(err.splitlines())) == (14, "", 1)
        assert said in err
    sessions = fake_session(monkeypatch, measured())
    assert main("cell", "--gpu", "cpu", "--spool", "s")[0] == 0
    assert sessions


def test_without_the_bindings_the_catalogue_is_listed_and_nothing_measured(
    machine: Callable[..., Main], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    main = machine()
    monkeypatch.setitem(sys.modules, "pynvml", None)  # an import of it now raises ImportError
    (tmp_path / "nvidia0").touch()
    for command, marks in (("gpus", ["cpu"]), ("models", [])):
        code, out, err = main(command)
        assert (code, stars(out), err.startswith("warning: this machine has an NVIDIA driver")) == (0, marks, True)
    assert main("cell", "--spool", "s")[0] == 25


@pytest.mark.parametrize("visible", ["", "-1", "-1,0"])
def test_cards_that_are_hidden_on_purpose_leave_the_cpu(machine: Callable[..., Main], visible: str) -> None:
    main = machine(Card(FIRST, **L4), visible=visible)
    assert stars(main("gpus")[1]) == ["cpu"]
    assert stars(main("models")[1]) == ["qwen2.5-0.5b"]
    code, _, err = main("cell", "--gpu", "l4")
    assert code == 14
    assert f"found no GPU (CUDA_VISIBLE_DEVICES={visible!r} may hide others)" in err


def test_old_bindings_give_the_same_lists(machine: Callable[..., Main]) -> None:
    cards = (Card(FIRST, **L4), Card(SECOND, name="NVIDIA X1"))
    new = [machine(*cards)(command) for command in ("gpus", "models")]
    assert [machine(*cards, old=True)(command) for command in ("gpus", "models")] == new
    assert stars(new[0][1]) == ["l4", "cpu", "nvidia-x1"]


@pytest.mark.parametrize("old", [False, True])
def test_a_dead_card_that_is_asked_for_ends_the_command(machine: Callable[..., Main], old: bool) -> None:
    code, _, err = machine(*DEAD_AND_L4, old=old)("cell", "--device", "0", "--spool", "s")
    assert (code, err.splitlines()) == (14, [f"error: {DEAD}: choose another card with device= or gpu="])


def test_models_are_listed(main: Main) -> None:
    code, out, _ = main("models")
    assert code == 0
    assert re.search(r"^\* qwen2.5-0.5b", out, re.MULTILINE)
    assert re.search(r"^ +llama-3.1-8b +32 +4096 +32/8 +131072  bf16, ", out, re.MULTILINE)
    assert max(map(len, out.splitlines())) <= 80
