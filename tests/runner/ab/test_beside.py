"""A record in an A/B's folder that no block has: which are of this A/B, and how they are counted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.ab import manifest
from runner.ab.beside import OtherSessions, read_beside
from runner.ab.manifest import Manifest
from runner.record import record

RECORDS = Path(__file__).parents[3] / "experiments" / "records" / "h200"
Told = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The manifest of one block, and the record of the next block's first session."""
    (source,) = RECORDS.glob("ab-qwen2.5-7b-16384-*")
    found = manifest.read(source / "ab.json")
    for each in (*found.blocks[0].sessions, found.blocks[1].sessions[0]):
        shutil.copy(source / each.file, tmp_path)
    manifest.write(replace(found, blocks=found.blocks[:1]), tmp_path)
    return tmp_path


def known(folder: Path) -> Manifest:
    return manifest.read(folder / "ab.json")


def left(folder: Path) -> Path:
    """The file that the manifest does not name."""
    named = {each.file for each in known(folder).sessions}
    (path,) = (path for path in folder.glob("*.json") if path.name not in {*named, "ab.json"})
    return path


@pytest.mark.medium
def test_a_measured_session_is_named(folder: Path) -> None:
    found = record.read(left(folder))
    assert read_beside(folder, known(folder)) == OtherSessions((found["session"]["id"],))


@pytest.mark.parametrize(
    "edit",
    [
        lambda found: found["session"].update(seed=7),
        lambda found: found["session"].update(study="mine"),
        lambda found: found["protocol"].update(warmup=7, name="custom"),
        lambda found: found["keys"].update(cell_key="0" * 12),
        lambda found: found.update(schema_version=99),
    ],
)
def test_one_of_another_ab_or_that_cannot_be_read_is_left_out(edit: Callable[[Told], object], folder: Path) -> None:
    path = left(folder)
    found = json.loads(path.read_text())
    edit(found)
    path.write_text(json.dumps(found))
    assert read_beside(folder, known(folder)) == OtherSessions()


def test_one_in_a_folder_of_its_own_is_left_out(folder: Path) -> None:
    path = left(folder)
    (folder / "another").mkdir()
    path.rename(folder / "another" / path.name)
    assert read_beside(folder, known(folder)) == OtherSessions()


def test_those_that_ended_without_a_measurement_are_counted_by_their_status(folder: Path) -> None:
    path = left(folder)
    for number, status in enumerate(("timeout", "oom", "timeout")):
        found = record.read(path)
        found["outcome"]["status"] = status
        found["session"]["id"] = f"{number:016x}"
        (folder / f"{number}.json").write_text(json.dumps(found))
    path.unlink()
    assert read_beside(folder, known(folder)) == OtherSessions((), (("oom", 1), ("timeout", 2)))


def test_one_that_a_block_has_is_counted_there_and_not_here(folder: Path) -> None:
    path = folder / known(folder).sessions[-1].file
    found = record.read(path)
    found["outcome"]["status"] = "oom"
    path.write_text(json.dumps(found))
    assert read_beside(folder, known(folder)).ended == ()
