"""A machine without a GPU, in a folder of the test's own, with the host's own programs."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from runner.machine import nvml
from tests.fakes.pynvml_fake import Card, Driver, module


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    for name in ("MLFLOW_HTTP_REQUEST_TIMEOUT", "PGCONNECT_TIMEOUT"):
        monkeypatch.setenv(name, "1")  # so that what the doctor sets by default is undone
        monkeypatch.delenv(name)
    monkeypatch.setattr(nvml, "DEV", tmp_path / "dev")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def without_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter without nvidia-ml-py."""
    monkeypatch.setitem(sys.modules, "pynvml", None)


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Driver:
    """A driver without cards, for the test to add some."""
    driver = Driver(version="580.65.06")
    fake: ModuleType = module(driver)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return driver


L4 = Card("GPU-11111111-aaaa-bbbb-cccc-000000000001", name="NVIDIA L4", capability=(8, 9), memory=(24 * 10**9, 0))


@pytest.fixture
def l4(cards: Driver) -> Driver:
    """A driver with an idle L4."""
    cards.cards.append(Card(L4.uuid, L4.name, L4.capability, L4.memory))
    return cards


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only folder on PATH, with what env.sh calls."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for tool in ("bash", "cat", "dirname", "grep", "sha256sum"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    monkeypatch.setenv("PATH", os.fspath(folder))
    return folder
