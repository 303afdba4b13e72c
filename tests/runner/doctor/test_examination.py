"""All checks together: the same names with an environment and without, and nothing changed on the machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from runner.doctor import examination, interpreter
from runner.doctor.finding import NOTE

pytestmark = pytest.mark.medium

NAMES = (
    *("gpu", "driver", "processes", "python", "environment", "disk", "mlflow run"),
    *("host", "kernels", "container", "store", "spool", "runs", "cell"),
)


def names(gpu: str = "auto") -> tuple[str, ...]:
    return tuple(found.name for found in examination.examine(gpu).findings)


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == package else find(name, *more))


@pytest.mark.usefixtures("cards")
def test_an_environment_is_examined_whole(tmp_path: Path) -> None:
    report = examination.examine("auto")
    assert names() == NAMES
    assert report.exit_code == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("cards")
def test_a_gpu_that_is_missing_decides_the_exit_code() -> None:
    report = examination.examine("l4")
    assert (report.exit_code, report.gpu) == (14, "l4")
    assert names("l4") == NAMES


@pytest.mark.usefixtures("cards")
@pytest.mark.parametrize("lacks", ["yaml", "a newer Python"])
def test_without_an_environment_the_rest_is_put_off(monkeypatch: pytest.MonkeyPatch, lacks: str) -> None:
    without(monkeypatch, lacks)
    monkeypatch.setattr(interpreter, "RUNS_ALL", lacks == "yaml")
    report = examination.examine("cpu")
    assert tuple(found.name for found in report.findings) == NAMES
    put_off: Any = [found for found in report.findings if found.name in examination.INSIDE]
    assert {(found.state, found.finding) for found in put_off} == {(NOTE, "examined once there is an environment")}


@pytest.mark.usefixtures("cards")
def test_a_damaged_catalogue_does_not_end_the_examination(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DECODE_FLOOR_EXPERIMENTS", str(tmp_path / "nowhere"))
    report = examination.examine("auto")
    assert tuple(found.name for found in report.findings) == NAMES
    assert report.exit_code == 11
