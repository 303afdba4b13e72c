"""Sessions under a declared condition of the host are in no table, figure, fit or A/B, whatever the source."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis import groups
from analysis.prediction.observations import observed
from analysis.sources.client import ClientStore
from analysis.sources.records import Folder
from analysis.sources.store import Store
from analysis.statistics import noise
from analysis.tables import floor
from runner.record import record
from tests.analysis.sources.conftest import fill
from tests.support.commands import command
from tests.support.hostconditions import conditioned
from tests.support.records import as_session, example_record, failed_record
from tests.support.sources import texts

NOTE = (
    "5 sessions were measured under a declared condition of the host (`host_condition`): `differences` shows them "
    "apart, and no other table has them"
)
FIRST = 100


def others() -> Iterator[dict[str, Any]]:
    """Faster sessions than all others of their cells, newer ones of other code, and one without a measurement."""
    for declared in ("pinned:1", "busy:8"):
        yield conditioned(declared, example_record(step_ms=5.0))
        newer = conditioned(declared, example_record(step_ms=6.0, cell={"ctx": 4096}))
        newer["keys"]["code_key"] = "b" * 12
        yield newer
    yield failed_record("oom", request={"host_condition": "busy:8"})


@pytest.fixture
def mixed(folder: Path, tmp_path: Path) -> Path:
    """The records of every kind, with sessions under conditions beside them."""
    made = Path(shutil.copytree(folder, tmp_path / "mixed"))
    for number, found in enumerate(others(), FIRST):
        record.write(as_session(found, number, later_ms=number), made / f"{number}.json")
    return made


@pytest.mark.medium
def test_they_are_in_no_table_of_records_and_the_number_is_told(mixed: Path, expected: dict[str, str]) -> None:
    source = Folder(mixed)
    assert texts(source) == expected
    assert source.frame(floor.METRICS).notes == (NOTE,)
    assert source.compared([]).notes == (NOTE,)


@pytest.mark.slow
def test_they_are_in_no_table_of_a_store(
    mixed: Path, empty_sqlite: Path, tmp_path: Path, expected: dict[str, str]
) -> None:
    uri = fill(f"sqlite:///{shutil.copy(empty_sqlite, tmp_path / 'mlflow.db')}", mixed)
    for source in (Store(uri), Store(uri), ClientStore(uri)):
        assert texts(source) == expected
        assert source.frame(floor.METRICS).notes == (NOTE,)


@pytest.mark.medium
def test_no_fit_sees_them(mixed: Path, folder: Path) -> None:
    fitted = [
        [row.tolist() for row in noise.session_groups(Folder(each).frame([groups.WALL]))] for each in (mixed, folder)
    ]
    assert fitted[0] == fitted[1]
    assert [row.wall_ms for row in observed(mixed).rows] == [row.wall_ms for row in observed(folder).rows]


@pytest.mark.slow
def test_every_command_prints_their_number(mixed: Path) -> None:
    for table in ("floor", "quant", "budget", "paper", "graphs"):
        done = command(table, "--records", str(mixed))
        assert (done.returncode, done.stderr) == (0, f"note: {NOTE}\n"), table


@pytest.mark.medium
def test_without_any_nothing_is_said(folder: Path) -> None:
    assert Folder(folder).frame([]).notes == ()


@pytest.mark.medium
def test_with_nothing_else_the_tables_are_empty(tmp_path: Path) -> None:
    record.write(as_session(conditioned("busy:8"), 0), tmp_path / "0.json")
    frame = Folder(tmp_path).frame(floor.METRICS)
    assert floor.rows(frame) == []
    assert frame.notes[0].startswith("1 session was measured under a declared condition")
