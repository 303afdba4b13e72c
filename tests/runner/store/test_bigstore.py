"""The generated store (tests/support/bigstore.py) beside the importer: both write the same rows of the records."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mlflow
import pytest
import sqlalchemy
from mlflow import MlflowClient

from runner import store
from runner.ab import check, manifest
from runner.record import record
from runner.record.verify import recompute
from tests.support import bigstore
from tests.support.derive import file_name, typed
from tests.support.measurements import ARMS, CELLS, FATES, Measurements, Session, measurements

RUNS, COMPARISONS = 600, 2


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Path) -> tuple[Path, Measurements]:
    """A generated SQLite store, to be copied, never used, and what is in it."""
    file = Path(shutil.copy(empty_sqlite, tmp_path_factory.mktemp("generated")))
    return file, bigstore.make(f"sqlite:///{file}", RUNS, COMPARISONS, seed=1)


@pytest.fixture
def made(generated: tuple[Path, Measurements], sqlite_uri: str) -> Measurements:
    file, found = generated
    shutil.copy(file, sqlite_uri.removeprefix("sqlite:///"))
    return found


def _one_of_each(made: Measurements) -> list[Session]:
    """A session of each fate, and one by the code of before."""
    return list({(session.fate, session.older): session for session in made.sessions}.values())


def _stored(uri: str, experiment: str) -> dict[str, dict[str, list[Any]]]:
    """Session or A/B → table → its rows of an experiment, without ids and the address of artifacts."""
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.connect() as database:

        def rows(table: str, columns: str) -> Iterable[Any]:
            of_run = "JOIN experiments USING (experiment_id)"
            joined = f"{table} {of_run}" if table == "runs" else f"{table} JOIN runs USING (run_uuid) {of_run}"
            query = f"SELECT run_uuid, {columns} FROM {joined} WHERE experiments.name = '{experiment}'"
            return database.execute(sqlalchemy.text(query))

        names = {run: value for run, key, value in rows("tags", "key, value") if key in ("session", "ab")}
        found: dict[str, dict[str, list[Any]]] = {name: {} for name in names.values()}
        for table, columns in bigstore.TABLES.items():
            ours = ("run_uuid", "name", "artifact_uri", "experiment_id")
            kept = ", ".join(f"{table}.{column}" for column in columns if column not in ours)
            for run, *row in rows(table, f"runs.name, {kept}" if table == "runs" else kept):
                found[names[run]].setdefault(table, []).append(tuple(row))
    return {name: {table: sorted(own, key=repr) for table, own in tables.items()} for name, tables in found.items()}


def _experiment_tags(name: str) -> dict[str, str]:
    found = mlflow.get_experiment_by_name(name)
    assert found is not None
    return dict(found.tags)


@pytest.mark.whole
@pytest.mark.slow
def test_search_runs_reads_it(made: Measurements) -> None:
    found = mlflow.search_runs(experiment_names=["decode-floor"])
    fates = Counter(session.fate for session in made.sessions)
    # of 600 sessions 5 % are not valid and 0.5 % not measured; 1 % are flagged
    assert fates["gate"] + fates["collected"] == 30
    assert fates["failed"] == 3
    assert len(found) == RUNS + COMPARISONS
    assert (found["tags.valid"] == "false").sum() == 30 + 3
    assert Counter(found["tags.flags"])["throttled"] == fates["throttled"] == 3
    assert Counter(found["tags.flags"])["drifting"] == fates["drifting"] == 3
    assert found["tags.cell_key"].nunique() == RUNS / CELLS.sessions
    assert set(found.groupby("tags.cell_key")["tags.code_key"].nunique()) == {2}
    assert found["tags.host_id"].nunique() > 2
    assert set(found["tags.ab"].dropna()) == {manifest.id for manifest, _ in made.comparisons}


@pytest.mark.slow
def test_the_importer_writes_the_same_rows(
    made: Measurements, sqlite_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared, whole = made.comparisons[0]
    for folder, sessions in (("single", _one_of_each(made)), ("ab", whole)):
        for found in (session.record() for session in sessions):
            record.write(found, tmp_path / "spool" / folder / file_name(found))
    manifest.write(compared, tmp_path / "spool" / "ab")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "imported")
    report = store.import_folder(tmp_path / "spool")
    assert report.refused == ()
    generated, imported = _stored(sqlite_uri, "decode-floor"), _stored(sqlite_uri, "imported")
    assert len(imported) == len(report.imported) + 1 >= len(FATES) + 2 * ARMS.sessions
    assert {name: generated[name] for name in imported} == imported
    assert _experiment_tags("decode-floor") == _experiment_tags("imported")


@pytest.mark.slow
def test_verify_finds_nothing_wrong_with_its_records_and_manifests() -> None:
    made = measurements(2000, 8, seed=0)
    chosen = [*made.sessions[::40], *_one_of_each(made)]
    assert [recompute.differences(session.record()) for session in chosen] == [[]] * len(chosen)
    for compared, sessions in made.comparisons:
        assert list(check.differences(compared, {session.id: typed(session.record()) for session in sessions})) == []
        assert compared.done == ARMS.sessions


@pytest.mark.slow
def test_a_record_shows_what_became_of_its_session() -> None:
    of_fate = {session.fate: session for session in measurements(600, 2, seed=0).sessions}
    judged = {fate: session.record() for fate, session in of_fate.items()}
    assert {fate for fate, found in judged.items() if not found["valid"]} == {"gate", "collected", "failed"}
    assert {fate: found["flags"] for fate, found in judged.items() if found["flags"]} == {
        "throttled": ["throttled"],
        "drifting": ["drifting"],
    }
    assert {fate: found["outcome"]["status"] for fate, found in judged.items()} == {
        **dict.fromkeys(("valid", *FATES), "measured"),
        "failed": "failed",
    }


@pytest.mark.slow
def test_equal_arguments_give_equal_measurements() -> None:
    one, again, other = (measurements(200, 2, seed) for seed in (7, 7, 8))
    assert one == again
    assert [json.dumps(session.record()) for session in one.sessions] == [
        json.dumps(session.record()) for session in again.sessions
    ]
    assert not {session.id for session in one.sessions} & {session.id for session in other.sessions}


@pytest.mark.whole
@pytest.mark.slow
def test_a_thousand_cells_are_all_different() -> None:
    made = measurements(100_000, 100, seed=0)
    assert len(made.sessions) == 100_000
    sessions = Counter(session.job.cell.key for session in made.sessions)
    of_arms = Counter(session.job.cell.key for _, own in made.comparisons for session in own)
    assert len(sessions) == 1000
    # 100 A/Bs with 10 sessions of each arm leave 98 000, 98 of each cell
    assert {sessions[key] - of_arms[key] for key in sessions} == {98}
    # 40 % of 98 are 39.2
    assert set(Counter(session.job.cell.key for session in made.sessions if session.older).values()) == {39, 40}
    assert len({compared.id for compared, _ in made.comparisons}) == 100
    declared = {field: {getattr(entry.request, field) for entry in CELLS.entries} for field in ("gpu", "ctx", "quant")}
    cells = [session.job.cell for session in made.sessions]
    assert {field: {str(getattr(cell, field)) for cell in cells} for field in declared} == declared


@pytest.mark.medium
def test_more_comparisons_than_sessions_or_entries_for_them_are_refused() -> None:
    # 20 sessions of each
    assert len(measurements(200, 10, seed=0).comparisons) == 10
    with pytest.raises(ValueError, match="is negative"):
        measurements(200, 11, seed=0)
    with pytest.raises(ValueError, match="larger than population"):
        measurements(100_000, len(ARMS.entries) + 1, seed=0)


@pytest.mark.whole
@pytest.mark.slow
def test_postgresql_gets_the_same_rows_and_keeps_its_keys(
    postgresql_uri: str, sqlite_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MlflowClient(tracking_uri=postgresql_uri).search_experiments()
    before = _keys(postgresql_uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "big")
    for uri in (postgresql_uri, sqlite_uri):
        bigstore.make(uri, 200, 2, seed=3)
    assert _stored(postgresql_uri, "big") == _stored(sqlite_uri, "big")
    assert _keys(postgresql_uri) == before


def _keys(uri: str) -> dict[str, list[Any]]:
    """Keys and indexes of each table."""
    inspector = sqlalchemy.inspect(sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool))
    return {
        table: [inspector.get_pk_constraint(table), inspector.get_foreign_keys(table), inspector.get_indexes(table)]
        for table in bigstore.TABLES
    }
