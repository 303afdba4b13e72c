"""This machine as the place where a command measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.launch.series import Ended, TimeLimit
from runner.launch.session import Settings
from runner.study import prepared, site
from runner.study.cellseries import CellSeries
from runner.study.site import Here
from tests.support.displays import Seen
from tests.support.studies import entry, study


def test_this_machine_measures_its_series_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(site.series, "measure_all", lambda *given: calls.append(given) or Ended())
    here, settings = Here(), Settings(tmp_path, None, None, False, 60.0, Seen())
    found = prepared.prepare(study(entry()), tmp_path, here.machines, redo=False, retry=False)
    ((series, standing),) = here.missing_series(found, settings)
    assert isinstance(series, CellSeries)
    assert (standing.missing, list(here.notes(found))) == (3, [])
    here.measure_all([series], TimeLimit(), print, settings, interleaved=True)
    assert calls == [([series], TimeLimit(), print, True)]
