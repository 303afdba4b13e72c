"""Engines on PATH, and plans of the cells that a container is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.plan.request import Request
from runner.plan.resolve import resolve
from runner.plan.sessionplan import Plan
from tests.runner.launch.container.fake import FakeEngine, path_of


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[FakeEngine]]:
    """Puts fakes on PATH, and nothing else: `engines(podman=answers)`."""

    def put(**answers: Any) -> list[FakeEngine]:
        made = [FakeEngine(tmp_path, name, each) for name, each in answers.items()]
        monkeypatch.setenv("PATH", path_of(*made))
        monkeypatch.delenv("DECODE_FLOOR_ENGINE", raising=False)
        return made

    return put


@pytest.fixture
def cpu_plan() -> Plan:
    return resolve(Request(gpu="cpu", model="tiny", ctx="64"), ())


@pytest.fixture
def l4_plan(card: Callable[..., Any]) -> Callable[..., Plan]:
    """Returns a function that makes a plan for an L4 with a driver: `l4_plan("570.86.15", quant="gptq")`."""

    def make(driver: str, **request: str) -> Plan:
        found = replace(card("NVIDIA L4"), driver=driver)
        return resolve(Request(gpu="l4", **request), [found])

    return make
