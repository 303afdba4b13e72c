"""The cell that would be measured now, and its place."""

from __future__ import annotations

from typing import Any

import pytest

from runner.cell import catalogue
from runner.doctor import cellcheck, hardware
from runner.doctor.finding import NOTE, OK, PROBLEM
from runner.errors import Infeasible
from runner.machine import host
from tests.fakes.pynvml_fake import SECOND, Card, Driver
from tests.runner.launch.container.fake import FakeEngine, path_of, present

pytestmark = pytest.mark.medium


@pytest.mark.usefixtures("l4")
def test_every_auto_is_resolved() -> None:
    found = cellcheck.finding("l4", hardware.look("l4"), has_image=False)
    assert found.state == OK
    assert found.finding == (
        "gpu=l4 model=qwen2.5-7b ctx=2048 quant=bf16 kernel=cublas runtime=eager cache=dynamic dtype=bf16 "
        "attention=sdpa, in this interpreter"
    )


@pytest.mark.usefixtures("cards")
def test_without_a_gpu_it_is_a_cell_of_the_cpu() -> None:
    found = cellcheck.finding("auto", hardware.look("auto"), has_image=False)
    assert found.finding.startswith("gpu=cpu model=qwen2.5-0.5b ctx=256 ")


def test_of_several_cards_the_first_is_meant(l4: Driver) -> None:
    l4.cards.append(Card(SECOND, name="NVIDIA L4", memory=(24 * 10**9, 0)))
    assert cellcheck.finding("l4", hardware.look("l4"), has_image=False).state == OK


@pytest.mark.usefixtures("cards")
def test_without_the_requested_gpu_nothing_is_resolved() -> None:
    assert cellcheck.finding("l4", hardware.look("l4"), has_image=False).state == NOTE


@pytest.mark.usefixtures("cards")
def test_a_cell_that_does_not_fit_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "available_memory_bytes", lambda: 10**9)
    found = cellcheck.finding("cpu", hardware.look("cpu"), has_image=False)
    assert (found.state, found.exit_code) == (PROBLEM, Infeasible.exit_code)
    assert "this device has 1.0 GB" in found.finding


@pytest.mark.usefixtures("cards")
def test_with_its_image_it_is_measured_in_a_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("PATH", path_of(FakeEngine(tmp_path, "podman", present())))
    monkeypatch.delenv("DECODE_FLOOR_ENGINE", raising=False)
    found = cellcheck.finding("cpu", hardware.look("cpu"), has_image=True)
    assert found.finding.endswith("in a container of decode-floor:cpu")


@pytest.mark.usefixtures("cards")
def test_a_damaged_catalogue_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    look = hardware.look("cpu")
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "nowhere"))
    assert cellcheck.finding("cpu", look, has_image=False).state == PROBLEM
