"""A session counts if it would be measured in the same place, with the same code and packages, now."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.errors import NoContainer
from runner.study.recorded import today
from runner.study.recorded.present import Present
from runner.study.recorded.today import Today
from tests.support.studies import entry, known, planned

CELL = planned(entry())


def test_the_place_of_a_session_is_looked_up_once_for_cells_of_the_same_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[tuple[Any, ...]] = []
    monkeypatch.setattr(today.places, "choose", lambda *given: chosen.append(given) or SimpleNamespace(info="image"))
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(Present, "difference", lambda _self, *given: asked.append(given))
    found, session, (plan,) = Today(tmp_path), known(CELL), CELL.plans
    for _ in range(2):
        assert found.difference(session, CELL.entry.request, plan) is None
    assert chosen == [("auto", "auto", plan, tmp_path)]
    assert asked == [(session, plan.cell, "image", plan.device.driver)] * 2


def test_without_the_image_a_session_would_be_in_this_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(*_: object) -> None:
        raise NoContainer("there is no image")

    monkeypatch.setattr(today.places, "choose", choose)
    session = known(CELL, container="sha256:" + "0" * 64)
    said = Today(tmp_path).difference(session, CELL.entry.request, CELL.plans[0])
    assert said == "it was measured in a container, and would run in this interpreter now"
