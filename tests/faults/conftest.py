"""Shared by the trials: real sessions, the number of writes of the commands that are killed, servers and disks."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from runner.record.verify import recompute
from tests.faults import clocksetting, filling, killing, stopping
from tests.faults.scene import CELL, ROOT, Scene
from tests.support import stores

RECORDS = 3


def _scene(factory: pytest.TempPathFactory, name: str) -> Scene:
    return Scene(factory.mktemp(name), variables={"MLFLOW_DISABLE_TELEMETRY": "true"})


@pytest.fixture(scope="session")
def records(committed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with records of real, valid sessions."""
    folder = tmp_path_factory.mktemp("records")
    valid = (path for path in sorted(committed.glob("*.json")) if recompute.read_verified(path).valid)
    for path in itertools.islice(valid, RECORDS):
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def record(records: Path) -> Path:
    """One of these records."""
    return min(records.glob("*.json"))


@pytest.fixture(scope="session")
def committed() -> Path:
    """The folder of the committed records."""
    return ROOT / "experiments" / "records" / "h100"


@pytest.fixture(scope="session")
def first_import_writes(tmp_path_factory: pytest.TempPathFactory, records: Path) -> int:
    """The number of writes of an import that makes its store."""
    scene = _scene(tmp_path_factory, "first")
    shutil.copytree(records, scene.spool)
    return killing.crashing(scene, 0, "import", "spool")


@pytest.fixture(scope="session")
def import_writes(tmp_path_factory: pytest.TempPathFactory, records: Path) -> int:
    """The number of writes of an import into a store that exists."""
    scene = _scene(tmp_path_factory, "again")
    killing.prepare_import(scene, records)
    shutil.copytree(records, scene.spool)
    return killing.crashing(scene, 0, "import", "spool")


@pytest.fixture(scope="session")
def command_writes(tmp_path_factory: pytest.TempPathFactory) -> int:
    """The number of writes of a command that measures, with a store that exists."""
    scene = _scene(tmp_path_factory, "command")
    scene.run(*CELL)
    return killing.crashing(scene, 0, *CELL)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[stopping.TrackingServer]:
    """A tracking server of the test's own."""
    folder = tmp_path / "server"
    folder.mkdir()
    with stopping.tracking_server(folder) as running:
        yield running


@pytest.fixture
def cluster() -> Iterator[tuple[Path, str]]:
    """The folder and the URI of a PostgreSQL cluster of the test's own."""
    if not stores.PG_BINARIES:
        pytest.skip("debian: postgresql is not installed")
    with stores.private_cluster() as running:
        yield running


@pytest.fixture
def mount() -> Iterator[filling.Mount]:
    """A function that mounts small disks."""
    if os.getuid() != 0:
        pytest.skip("only root may mount a small disk")
    with ExitStack() as cleanup:
        yield filling.mounting(cleanup)


@pytest.fixture
def faketime() -> Path:
    """The library that shows a process another time."""
    if not clocksetting.LIBRARIES:
        pytest.skip("debian: libfaketime is not installed")
    return clocksetting.LIBRARIES[-1]
