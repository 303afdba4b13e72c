"""The generated store (tests/support/bigstore.py) beside the importer: both write the same rows of the records."""

from __future__ import annotations

import json
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
from runner.ab.beside import OtherSessions
from runner.record import record
from runner.record.verify import recompute
from tests.support import bigstore, campaign
from tests.support.campaign import Campaign, Session
from tests.support.derive import file_name, typed

RUNS, COMPARISONS = 600, 3


@pytest.fixture
def made(sqlite_uri: str) -> Campaign:
    return bigstore.make(sqlite_uri, RUNS, COMPARISONS, seed=1)


def _one_of_each(made: Campaign) -> list[Session]:
    """A session of each fate, and one by the code of before."""
    return list({(session.fate, session.older): session for session in made.sessions}.values())


def _of(made: Campaign, number: int) -> list[Session]:
    """The sessions of an A/B."""
    ids = {entry.session for entry in made.manifests[number].sessions}
    return [session for session in made.sessions if session.id in ids]


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


@pytest.mark.slow
def test_search_runs_reads_it(made: Campaign) -> None:
    found = mlflow.search_runs(experiment_names=["decode-floor"])
    fates = Counter(session.fate for session in made.sessions)
    # 5 % of 600 are not valid, 0.5 % were not measured, 1 % are flagged
    assert sum(fates[fate] for fate in campaign.INVALID) == 30
    assert sum(fates[fate] for fate in campaign.NOT_MEASURED) == 3
    assert len(found) == RUNS + COMPARISONS
    assert (found["tags.valid"] == "false").sum() == 30 + 3
    assert Counter(found["tags.flags"])["throttled"] == fates["throttled"] == 3
    assert found["tags.cell_key"].nunique() == RUNS / campaign.SESSIONS_PER_CELL
    assert set(found.groupby("tags.cell_key")["tags.code_key"].nunique()) == {2}
    assert found["tags.host_id"].nunique() > 2
    assert list(found["tags.ab"].dropna().sort_values()) == sorted(each.id for each in made.manifests)


@pytest.mark.slow
def test_the_importer_writes_the_same_rows(
    made: Campaign, sqlite_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared, whole = made.manifests[0], _of(made, 0)
    for folder, sessions in (("single", _one_of_each(made)), ("ab", whole)):
        for found in map(made.record, sessions):
            record.write(found, tmp_path / "spool" / folder / file_name(found))
    manifest.write(compared, tmp_path / "spool" / "ab")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "imported")
    report = store.import_folder(tmp_path / "spool")
    assert report.refused == ()
    generated, imported = _stored(sqlite_uri, "decode-floor"), _stored(sqlite_uri, "imported")
    assert len(imported) == len(report.imported) + 1 >= len(campaign.SPOILERS) + 2 * campaign.ARM_SESSIONS
    assert {name: generated[name] for name in imported} == imported
    assert _experiment_tags("decode-floor") == _experiment_tags("imported")


@pytest.mark.slow
def test_verify_finds_nothing_wrong_with_its_records_and_manifests() -> None:
    made = campaign.campaign(2000, 8, seed=0)
    assert [recompute.differences(made.record(session)) for session in made.sessions[::40]] == [[]] * 50
    for number, compared in enumerate(made.manifests):
        records = {session.id: typed(made.record(session)) for session in _of(made, number)}
        assert list(check.differences(compared, records)) == []
        assert made.period_ms(compared) == check.period_ms(check.Checked(compared, records, OtherSessions()))
        assert compared.done == campaign.ARM_SESSIONS


@pytest.mark.slow
def test_equal_arguments_make_equal_campaigns() -> None:
    one, again, other = (campaign.campaign(400, 2, seed) for seed in (7, 7, 8))
    assert one.sessions == again.sessions
    assert one.manifests == again.manifests
    assert [*map(json.dumps, one.records())] == [*map(json.dumps, again.records())]
    assert not {session.id for session in one.sessions} & {session.id for session in other.sessions}


@pytest.mark.slow
def test_a_thousand_cells_are_all_different() -> None:
    made = campaign.campaign(100_000, 100, seed=0)
    cells = [template.plan.cell for template in made.templates]
    assert len({cell.key for cell in cells}) == 1000
    assert {cell.gpu for cell in cells} == set(campaign.GPUS)
    assert {cell.ctx for cell in cells} == set(campaign.CONTEXTS)
    assert set(Counter(session.cell for session in made.sessions).values()) == {100}
    assert set(Counter(session.cell for session in made.sessions if session.older).values()) == {40}
    assert len({compared.id for compared in made.manifests}) == 100


def test_more_comparisons_than_sessions_for_them_are_refused() -> None:
    assert len(campaign.campaign(200, 6, seed=0).manifests) == 6
    with pytest.raises(ValueError, match="too many A/Bs"):
        campaign.campaign(200, 7, seed=0)
    with pytest.raises(ValueError, match="at least 200 runs"):
        campaign.campaign(100, 1, seed=0)


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
