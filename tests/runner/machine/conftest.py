"""A machine without anything of NVIDIA's, and a pretended driver with three cards."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from runner.machine import nvml
from tests.fakes.pynvml_fake import FIRST, SECOND, THIRD, Card, Driver, use


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No device files, no nvidia-smi, no CUDA_VISIBLE_DEVICES, no torch, whatever this machine has."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(nvml, "DEV", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.delitem(sys.modules, "torch", raising=False)


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Driver:
    cards = [Card(FIRST), Card(SECOND, name="NVIDIA L4", capability=(8, 9)), Card(THIRD)]
    return use(monkeypatch, Driver(cards=cards))
