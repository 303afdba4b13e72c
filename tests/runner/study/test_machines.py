"""This machine, as a study's plan and standing depend on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cell import catalogue
from runner.machine import host, nvml
from runner.plan import absent
from runner.study.machines import ThisMachine
from runner.study.recorded.today import Today
from tests.support.studies import entry


def test_a_study_of_cpu_cells_looks_for_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "list_gpus", lambda: pytest.fail("NVML was asked"))
    assert ThisMachine().cards(entry(gpu="cpu")) == ()


def test_the_gpus_of_this_machine_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    card = absent.card(catalogue.gpus()["l4"])
    assert card is not None
    looks: list[None] = []
    monkeypatch.setattr(nvml, "list_gpus", lambda: looks.append(None) or (card,))
    machine = ThisMachine()
    assert machine.cards(entry(gpu="l4")) == (card,)
    assert machine.cards(entry(gpu="auto")) == (card,)
    assert machine.cards(entry(gpu="h100")) is None
    assert machine.lack("h100") == "no h100 here"
    assert machine.cards(entry(gpu="h10")) == (card,)  # `resolve` refuses it
    assert len(looks) == 1


def test_facts_are_those_of_this_host(tmp_path: Path) -> None:
    machine = ThisMachine(())
    assert machine.memory_bytes() == host.memory_bytes()
    assert machine.host_id("GPU-1") == host.host_id("GPU-1")
    assert isinstance(machine.today(tmp_path), Today)
