"""Stores filled from the same records by the real importer."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from analysis.sources.records import Folder
from runner import store
from runner.record import record
from tests.support.derive import derive, judge
from tests.support.records import as_session, cpu_record, example_record, failed_record, packed_record
from tests.support.sources import copied, texts
from tests.support.stores import served

ROOT = Path(__file__).parents[3]
AB = next((ROOT / "experiments" / "records" / "h200").glob("ab-qwen2.5-7b-16384-eager-graph-*"))


def examples() -> Iterator[dict]:
    """Valid, invalid and unmeasured sessions, of several cells, codes and hosts, some flagged."""
    for step_ms in (36.0, 35.0, 37.5, 36.2, 36.1, 35.9):
        yield example_record(step_ms=step_ms)
    older = example_record(step_ms=40.0)
    older["keys"]["code_key"] = "a" * 12
    yield older
    elsewhere = example_record(step_ms=36.7)
    elsewhere["keys"]["host_id"] = "f" * 12
    yield elsewhere
    yield example_record(step_ms=52.0, cell={"cache": "dynamic"})
    yield example_record(step_ms=33.0, cell={"ctx": 4096}, protocol={"name": "custom", "warmup": 2, "steps": 60})
    yield packed_record()
    yield packed_record("bnb-nf4", "bitsandbytes", "bf16")
    yield cpu_record()
    wrong = example_record(step_ms=31.0)
    wrong["gate"]["checks"][0]["errors"][0] = 1.0
    derive(wrong)
    judge(wrong)
    yield wrong
    yield failed_record("oom", cell={"ctx": 8192})
    yield failed_record("infeasible", cell={"ctx": 16384})
    for name, steps in (("tail-long", 300), ("custom", 40)):
        counts = {"name": name, "steps": steps, "windows": 10}
        yield example_record(step_ms=9.5, cell={"runtime": "graph"}, protocol=counts)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records as files, and a real A/B beside them."""
    made = tmp_path_factory.mktemp("records")
    for number, found in enumerate(examples()):
        record.write(as_session(found, number, later_ms=number), made / f"{number}.json")
    shutil.copytree(AB, made / AB.name)
    return made


@pytest.fixture(scope="session")
def filled(folder: Path, empty_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An SQLite store with all of them; not to be changed."""
    file = shutil.copy(empty_sqlite, tmp_path_factory.mktemp("store") / "mlflow.db")
    return fill(f"sqlite:///{file}", folder)


@pytest.fixture(scope="session")
def server(filled: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tracking server over a copy of it."""
    made = tmp_path_factory.mktemp("served")
    shutil.copy(filled.removeprefix("sqlite:///"), made / "mlflow.db")
    with served(made) as uri:
        yield uri


@pytest.fixture(scope="session")
def postgresql(folder: Path, postgresql_uri: str) -> str:
    """A PostgreSQL store with the same, in a database of its own."""
    with psycopg.connect(postgresql_uri, autocommit=True) as connection:
        connection.execute("CREATE DATABASE tables")
    return fill(f"{postgresql_uri.rpartition('/')[0]}/tables", folder)


def fill(uri: str, folder: Path) -> str:
    """Import the folder into a store; returns its URI."""
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")}
    os.environ |= {"MLFLOW_TRACKING_URI": uri, "MLFLOW_EXPERIMENT_NAME": "decode-floor"}
    here = Path.cwd()
    os.chdir(folder.parent)  # artifacts go below the working folder
    try:
        report = store.import_folder(folder)
    finally:
        os.chdir(here)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    assert not report.refused
    return uri


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def expected(folder: Path) -> dict[str, str]:
    """Every table of the records, as JSON."""
    return texts(Folder(folder))


@pytest.fixture
def changeable(filled: str, tmp_path: Path) -> Iterator[tuple[str, sqlite3.Connection]]:
    """A copy of the filled store, and an open connection that changes it."""
    uri = copied(filled, tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        yield uri, connection


@pytest.fixture
def changeable_postgresql(postgresql: str, postgresql_uri: str) -> Iterator[tuple[str, psycopg.Connection]]:
    """A copy of the filled database, and an open connection that changes it."""
    with psycopg.connect(postgresql_uri, autocommit=True) as server:
        place, _, name = postgresql.rpartition("/")
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        server.execute(f"CREATE DATABASE changed TEMPLATE {name}")
        uri = f"{place}/changed"
        with psycopg.connect(uri) as connection:
            yield uri, connection
        server.execute("DROP DATABASE changed WITH (FORCE)")
