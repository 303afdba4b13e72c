"""The findings on GPUs, with a pretended driver behind NVML, or a program nvidia-smi where its bindings are missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.doctor import hardware
from runner.doctor.finding import NOTE, OK, PROBLEM
from runner.doctor.hardware import Look
from runner.errors import GpuNotFound, NoContainer, UnknownName
from runner.machine import nvml
from tests.fakes import nvidia_smi
from tests.fakes.pynvml_fake import SECOND, Card, Driver


def states(look: Look) -> dict[str, str]:
    return {found.name: found.state for found in look.findings}


@pytest.mark.usefixtures("l4")
def test_an_idle_card_with_a_new_driver_passes() -> None:
    look = hardware.look("l4")
    assert [(found.state, found.finding) for found in look.findings] == [
        (OK, "NVIDIA L4 (l4), 24.0 GB"),
        (OK, "580.65.06 runs the stack modern and paper (modern needs 580, paper needs 525)"),
        (OK, "no other process computes on the card"),
    ]
    assert look.card is not None
    assert look == hardware.look("auto")


def test_another_card_than_the_requested_one_is_named(cards: Driver) -> None:
    cards.cards.append(Card(SECOND))
    look = hardware.look("l4")
    found = look.findings[0]
    assert (found.state, found.exit_code) == (PROBLEM, GpuNotFound.exit_code)
    assert found.finding == "no NVIDIA L4 here: found NVIDIA H100 80GB HBM3 (gpu 0)"
    assert look.card is None
    assert states(look) == {"gpu": PROBLEM, "driver": NOTE, "processes": NOTE}


@pytest.mark.usefixtures("cards")
def test_without_a_gpu_a_request_for_one_is_a_problem() -> None:
    assert hardware.look("l4").findings[0].finding == "no NVIDIA L4 here: found no NVIDIA GPU"


@pytest.mark.usefixtures("cards")
def test_without_a_gpu_the_meaning_of_a_cpu_cell_is_said() -> None:
    look = hardware.look("auto")
    assert states(look) == {"gpu": NOTE, "driver": NOTE, "processes": NOTE}
    assert "measured on the CPU, with a step time and achieved GB/s, but without r_floor" in look.findings[0].finding


@pytest.mark.usefixtures("l4")
def test_the_cpu_needs_no_driver() -> None:
    look = hardware.look("cpu")
    assert (look.card, look.findings[0].state) == (None, OK)


@pytest.mark.usefixtures("l4")
def test_hidden_cards_are_hinted_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES='' may hide others" in hardware.look("l4").findings[0].finding


@pytest.mark.usefixtures("cards")
def test_a_mistyped_name_has_a_suggestion() -> None:
    found = hardware.look("l44").findings[0]
    assert found.exit_code == UnknownName.exit_code
    assert "did you mean l4?" in found.finding


def test_several_cards_can_be_measured_one_at_a_time(l4: Driver) -> None:
    l4.cards.append(Card(SECOND, name="NVIDIA L4", memory=(24 * 10**9, 0)))
    found = hardware.look("l4").findings[0]
    assert (found.state, found.finding) == (NOTE, "2 GPUs match (0: NVIDIA L4, 1: NVIDIA L4)")
    assert found.remedy == "choose one with device=0"


def test_a_card_without_an_entry_has_no_floor(cards: Driver) -> None:
    cards.cards.append(Card(SECOND, name="NVIDIA X1"))
    found = hardware.look("auto").findings[0]
    assert found.state == NOTE
    assert "NVIDIA X1, 85.5 GB: not in the catalogue, so a cell has no r_floor" in found.finding


def test_a_card_in_slices_is_a_problem(cards: Driver) -> None:
    cards.cards.append(Card(SECOND, mig=(1, 1)))
    found = hardware.look("h100").findings[0]
    assert (found.state, found.exit_code) == (PROBLEM, 14)
    assert "is in MIG mode" in found.finding


@pytest.mark.parametrize(
    ("driver", "state", "said"),
    [
        ("580.65.06", OK, "runs the stack modern and paper"),
        ("575.57.08", PROBLEM, "is too old for requirements/modern.txt and runs the stack paper alone"),
        ("470.256.02", PROBLEM, "is too old for every stack (modern needs 580, paper needs 525)"),
        ("unknown", NOTE, "which stacks it runs"),
    ],
)
def test_a_driver_runs_the_stacks_that_are_old_enough(l4: Driver, driver: str, state: str, said: str) -> None:
    l4.version = driver
    found = hardware.look("l4").findings[1]
    assert found.state == state
    assert said in found.finding
    assert found.exit_code == (NoContainer.exit_code if state == PROBLEM else 0)


def test_an_older_driver_can_use_an_older_image(l4: Driver) -> None:
    l4.version = "570.86.15"
    assert hardware.look("l4").findings[1].remedy == (
        "update the driver, or measure in a container: make image-ada STACK=paper, then `python -m runner cell --stack "
        "paper`"
    )


def test_other_users_of_the_card_are_named(l4: Driver) -> None:
    l4.cards[0].processes = (os.getpid(), 99_999_999)
    found = hardware.look("l4").findings[2]
    assert found.state == NOTE
    assert found.finding == (
        "1 other process computes on the card (99999999 (ended)): sessions would be flagged shared-card"
    )


def test_a_card_may_not_report_its_users(l4: Driver) -> None:
    l4.cards[0].unsupported = nvml.PROCESSES
    assert hardware.look("l4").findings[2].state == NOTE


@pytest.mark.medium
@pytest.mark.usefixtures("without_bindings")
def test_without_the_bindings_nvidia_smi_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nvidia_smi.install(monkeypatch, tmp_path, nvidia_smi.L4, users=("4711, /usr/bin/python3",))
    findings = hardware.look("l4").findings
    assert [found.state for found in findings] == [OK, OK, NOTE]
    assert "1 other process computes on the card (4711 (python3))" in findings[2].finding


@pytest.mark.medium
@pytest.mark.usefixtures("without_bindings")
def test_a_broken_driver_is_a_problem_unless_the_cpu_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nvidia_smi.install(monkeypatch, tmp_path, "NVIDIA-SMI has failed because it couldn't communicate", code=9)
    look = hardware.look("auto")
    assert (look.installed, look.findings[0].state, look.findings[0].exit_code) == (None, PROBLEM, 14)
    assert states(hardware.look("cpu")) == {"gpu": OK, "driver": NOTE, "processes": NOTE}
