"""A large MLflow store, for benchmarks and tests: what our importer would have left of two studies, in minutes.

python -m tests.support.bigstore URI --runs 100000 [--comparisons 100] [--seed 0]

MLflow makes the tables and our code describes the experiment; the rows go in by bulk SQL, into a store that has none of
these runs yet. Left out, beside all that analysis adds to an A/B: dataset inputs and artifact files. Run ids follow
from the seed; nothing else in the rows differs between two stores but where their artifacts would lie.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice, starmap
from pathlib import Path
from typing import Any, TypeAlias
from unittest.mock import patch

import psycopg
from mlflow.entities import Experiment
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from runner.ab import check
from runner.ab.beside import OtherSessions
from runner.ab.check import Checked
from runner.ab.manifest import Manifest
from runner.cell.cell import short_hash
from runner.cell.jsonform import to_json
from runner.errors import BadValue
from runner.store import address, connection, experiment, owner
from runner.store.ab_run import AB_TAG, FINISHED, MANIFEST_TAG, NOT_COMPARED
from runner.store.manifesttags import manifest_tags
from runner.store.session_run import COMMITTED_TAG, NOTE_TAG, SESSION_TAG, View, view
from tests.support.derive import typed
from tests.support.measurements import Measurements, Session, measurements

BATCH_RUNS = 1000
TABLES = {
    "runs": (
        *("run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id", "status"),
        *("start_time", "end_time", "source_version", "lifecycle_stage", "artifact_uri", "experiment_id"),
    ),
    "params": ("key", "value", "run_uuid"),
    "metrics": ("key", "value", "timestamp", "step", "is_nan", "run_uuid"),
    "latest_metrics": ("key", "value", "timestamp", "step", "is_nan", "run_uuid"),
    "tags": ("key", "value", "run_uuid"),
}
FILLED_BY_RUN = tuple(name for name in TABLES if name != "runs")
"""Tables to which no other refers: their keys can be taken away while they are filled."""
SQLITE_LOADING = ("synchronous = OFF", "journal_mode = MEMORY", "cache_size = -2000000")
CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = ANY(%s::regclass[]) AND contype IN ('p', 'f')"""
INDEXES = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = ANY(%s::regclass[])"""

Rows: TypeAlias = list[tuple[Any, ...]]
Insert: TypeAlias = Callable[[str, Rows], None]


@dataclass(frozen=True)
class StoredRun:
    """A run as it stands in the tables. `points` are (metric, value, step), all of them at `finished_ms`."""

    id: str
    name: str
    status: str
    started_ms: int
    finished_ms: int
    params: Mapping[str, str]
    tags: Mapping[str, str]
    points: Sequence[tuple[str, float, int]]


def make(uri: str, runs: int, comparisons: int, seed: int) -> Measurements:
    """Fill the store at `uri` (SQLite or PostgreSQL; made if it does not exist) and return what is in it.

    Raises BadValue for another kind of store, ValueError for more A/Bs than so many sessions make up.
    """
    made = measurements(runs, comparisons, seed)
    with patch.dict(os.environ, MLFLOW_TRACKING_URI=uri), connection.opened() as client:
        home = experiment.Experiments(client).home
        experiment.describe(client, home)
        _fill(uri, stored_runs(made), client.get_experiment(home))
    return made


def views(made: Measurements) -> Iterator[View]:
    """The view of every session's record, in the order of the runs."""
    return (view(typed(session.record())) for session in made.sessions)


def stored_runs(made: Measurements) -> Iterator[StoredRun]:
    """The runs of all sessions in the order of time, then those of the A/Bs."""
    return chain(map(session_run, views(made)), starmap(comparison_run, made.comparisons))


def session_run(shown: View) -> StoredRun:
    """What `runner.store.commit.store_view` leaves of a view."""
    steps = [(shown.series_name, value, step) for step, value in enumerate(shown.series)]
    own = {SESSION_TAG: shown.session, MLFLOW_RUN_NAME: shown.name, COMMITTED_TAG: shown.digest}
    return StoredRun(
        id=run_id(SESSION_TAG, shown.session),
        name=shown.name,
        status=shown.status,
        started_ms=shown.started_ms,
        finished_ms=shown.finished_ms,
        params=shown.params,
        tags={**shown.tags, **own, **owner.tag()},
        points=[*((name, value, 0) for name, value in shown.metrics.items()), *steps],
    )


def comparison_run(manifest: Manifest, sessions: Iterable[Session]) -> StoredRun:
    """What `runner.store.ab_run.commit_comparison` leaves of an A/B that is imported."""
    a, b = manifest.arms["a"], manifest.arms["b"]
    shared = {name: value for name, value in to_json(a.cell).items() if getattr(b.cell, name) == value}
    words = {name: str(shared[name]) for name in ("gpu", "model", "ctx") if name in shared}
    own = manifest_tags(manifest)
    records = {session.id: typed(session.record()) for session in sessions}
    began_ms, ended_ms = check.period_ms(Checked(manifest, records, OtherSessions()))
    return StoredRun(
        id=run_id(AB_TAG, manifest.id),
        name=manifest.title,
        status=FINISHED,
        started_ms=began_ms,
        finished_ms=ended_ms,
        params={"ab.field": manifest.field, "ab.a": a.value, "ab.b": b.value}
        | {f"cell.{name}": _word(value) for name, value in shared.items()},
        tags={AB_TAG: manifest.id, MLFLOW_RUN_NAME: manifest.title, "study": manifest.study, "cell": manifest.title}
        | {**words, **own, **owner.tag(), MANIFEST_TAG: short_hash(own, 16), NOTE_TAG: NOT_COMPARED},
        points=(),
    )


def run_id(tag: str, value: str) -> str:
    """The id of the run with a tag; MLflow draws them, here they follow from what the run is of."""
    return short_hash([tag, value], 32)


def rows(run: StoredRun, experiment_id: int, artifacts: str) -> dict[str, Rows]:
    """The run's rows in each table; `artifacts` is the experiment's folder of them."""
    own = (run.id, run.name, "UNKNOWN", "", "", "unknown", run.status, run.started_ms, run.finished_ms, "", "active")
    points = [(name, value, run.finished_ms, step, False, run.id) for name, value, step in run.points]
    return {
        "runs": [(*own, f"{artifacts}/{run.id}/artifacts", experiment_id)],
        "params": [(name, value, run.id) for name, value in run.params.items()],
        "metrics": points,
        "latest_metrics": list({point[0]: point for point in points}.values()),
        "tags": [(name, value, run.id) for name, value in run.tags.items()],
    }


def _word(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _fill(uri: str, runs: Iterable[StoredRun], home: Experiment) -> None:
    remaining, experiment_id = iter(runs), int(home.experiment_id)
    with _filling(uri) as insert:
        while batch := list(islice(remaining, BATCH_RUNS)):
            merged: dict[str, Rows] = {table: [] for table in TABLES}
            for run in batch:
                for table, own in rows(run, experiment_id, home.artifact_location).items():
                    merged[table] += own
            for table, own in merged.items():
                insert(table, own)


def _filling(uri: str) -> AbstractContextManager[Insert]:
    """One transaction on the store's database, without the indexes that make single rows slow; statistics follow."""
    file = address.sqlite_file(uri)
    if file is not None:
        return _filling_sqlite(file)
    if uri.startswith("postgresql"):
        return _filling_postgresql(re.sub(r"^postgresql\+\w+", "postgresql", uri))
    raise BadValue(f"{address.masked_uri(uri)}: rows go straight into SQLite or PostgreSQL only")


@contextmanager
def _filling_sqlite(file: Path) -> Iterator[Insert]:
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        for setting in SQLITE_LOADING:
            database.execute(f"PRAGMA {setting}")
        found = database.execute("SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'index' AND sql != ''")
        indexes = {name: sql for table, name, sql in found if table in FILLED_BY_RUN}
        database.execute("BEGIN")
        for name in indexes:
            database.execute(f"DROP INDEX {name}")
        yield lambda table, own: _insert(database, table, own)
        for sql in indexes.values():
            database.execute(sql)
        database.execute("COMMIT")
        database.execute("ANALYZE")


def _insert(database: sqlite3.Connection, table: str, own: Rows) -> None:
    columns = TABLES[table]
    places = ", ".join("?" * len(columns))
    database.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", own)


@contextmanager
def _filling_postgresql(uri: str) -> Iterator[Insert]:
    with psycopg.connect(uri) as database:
        constraints = database.execute(CONSTRAINTS, [list(FILLED_BY_RUN)]).fetchall()
        for table, name, _ in constraints:
            database.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        indexes = database.execute(INDEXES, [list(FILLED_BY_RUN)]).fetchall()  # those of the keys are gone already
        for name, _ in indexes:
            database.execute(f"DROP INDEX {name}")
        yield lambda table, own: _copy(database, table, own)
        database.execute("SET LOCAL maintenance_work_mem = '512MB'")
        for table, name, definition in constraints:
            database.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        for _, definition in indexes:
            database.execute(definition)
    with psycopg.connect(uri, autocommit=True) as database:
        database.execute(f"VACUUM ANALYZE {', '.join(TABLES)}")


def _copy(database: psycopg.Connection[Any], table: str, own: Rows) -> None:
    with database.cursor().copy(f"COPY {table} ({', '.join(TABLES[table])}) FROM STDIN") as copy:
        for row in own:
            copy.write_row(row)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.bigstore", description=__doc__.splitlines()[0])
    parser.add_argument("uri", help="sqlite:///FILE or postgresql://…")
    parser.add_argument("--runs", type=int, required=True, help="sessions; one cell for each hundred")
    parser.add_argument("--comparisons", type=int, help="A/Bs; left out: one for each thousand sessions")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    comparisons = given.runs // 1000 if given.comparisons is None else given.comparisons
    began = time.monotonic()
    made = make(given.uri, given.runs, comparisons, given.seed)
    took_s = time.monotonic() - began
    cells = {session.job.cell.key for session in made.sessions}
    print(f"{len(made.sessions)} sessions of {len(cells)} cells, {len(made.comparisons)} A/Bs: {took_s:.0f} s")


if __name__ == "__main__":
    main()
