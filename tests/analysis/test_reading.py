"""The A/Bs of a reading are compared once, however often they are asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis import ab
from analysis.reading import Reading
from analysis.sources.frame import Frame
from analysis.sources.records import Folder
from runner.ab import manifest
from runner.record import record
from tests.support.frames import frame_of
from tests.support.records import example_record

RECORDS = Path(__file__).parents[2] / "experiments" / "records" / "h200"
AB = next(RECORDS.glob("ab-qwen2.5-7b-16384-eager-graph-*"))


@pytest.fixture
def source(tmp_path: Path) -> Folder:
    record.write(example_record(), tmp_path / "one.json")
    return Folder(tmp_path)


@pytest.mark.medium
def test_a_comparison_is_made_once(source: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Frame] = []

    def from_frame(frame: Frame) -> tuple[list[ab.Measured], list[str]]:
        compared.append(frame)
        return [], ["a fault"]

    monkeypatch.setattr(ab, "from_frame", from_frame)
    reading = Reading(frame_of([example_record()]), source)
    assert compared == []  # a table that has none does not wait for them
    assert [reading.compared, reading.unusable, reading.compared] == [[], ["a fault"], []]
    assert compared == [reading.frame]


@pytest.mark.medium
def test_an_ab_without_its_sessions_cannot_be_used(source: Folder) -> None:
    frame = replace(frame_of([example_record()]), manifests=(manifest.read(AB / "ab.json"),))
    reading = Reading(frame, source)
    assert reading.compared == []
    (line,) = reading.unusable
    assert "of its sessions are missing" in line
