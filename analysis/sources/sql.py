"""Sessions straight from MLflow's tables in SQLite or PostgreSQL: one query a column, ADBC → Arrow → polars.

The tables are MLflow's own business and may change with any release: only revisions of its schema that were tested are
read this way. All queries of a frame see one state of the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import polars

from analysis.sources import runs
from analysis.sources.columns import (
    CELL_COLUMNS,
    COMMITTED,
    ENVIRONMENT_COLUMNS,
    METRIC_NAMES,
    SERIES_NAME,
    SESSION_COLUMNS,
    TAG,
    Text,
)
from analysis.sources.frame import Details, Frame, in_order
from analysis.sources.stored import check_found, told
from runner.ab.manifest import Manifest
from runner.errors import BadRecord
from runner.store import address, connection
from runner.store.comparison import AB_TAG
from runner.store.manifesttags import PREFIX, manifest_of
from runner.store.report import REPORT_TAG

TESTED_REVISIONS = ("dc11669786a5",)  # MLflow 3.17
SQLITE, POSTGRES = "sqlite", "postgresql"
TEXT, WHOLE, NUMBER = polars.String, polars.Int64, polars.Float64
RUNS_AT_ONCE = 1000
KEYED = {"cell_key": CELL_COLUMNS, "env_key": ENVIRONMENT_COLUMNS}
TABLES = {TAG: "tags", "param": "params"}
ACTIVE_RUNS = """
SELECT runs.run_uuid, runs.start_time, runs.end_time
FROM runs JOIN experiments ON runs.experiment_id = experiments.experiment_id
WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'
"""


def kind_of(uri: str) -> str | None:
    """SQLITE or POSTGRES, None for a store of another kind."""
    scheme = uri.partition(":")[0].partition("+")[0]
    return {SQLITE: SQLITE, POSTGRES: POSTGRES, "postgres": POSTGRES}.get(scheme)


class Database:
    """An open connection that sees one state of the store, from its first query on."""

    def __init__(self, link: Any) -> None:
        self._link = link

    def query(self, text: str, **types: Any) -> polars.DataFrame:
        """The rows, with columns of these names and types (SQLite tells none where there is no row)."""
        with self._link.cursor() as cursor:
            cursor.execute(text)
            found = cursor.fetch_arrow_table()
        columns = {name: polars.Series(found.column(place)) for place, name in enumerate(types)}
        return polars.DataFrame(columns).cast(polars.Schema(types))

    def execute(self, text: str) -> None:
        with self._link.cursor() as cursor:
            cursor.execute(text)

    def revision(self) -> str | None:
        """Of MLflow's schema; None where this is no store of MLflow's."""
        try:
            return str(self.query("SELECT version_num FROM alembic_version", version=TEXT).item())
        except Exception:  # each driver has errors of its own for a table that is not there
            return None

    def snapshot(self) -> str:
        """Of PostgreSQL: a text that changes with every transaction which writes anything."""
        found = self.query(
            "SELECT oid::bigint, pg_current_snapshot()::text FROM pg_database WHERE datname = current_database()",
            oid=WHOLE,
            snapshot=TEXT,
        )
        return str(found.rows())


@contextmanager
def opened(uri: str) -> Iterator[Database]:
    """The database of a store. Raises StoreUnreachable, BadRecord where there is no such file."""
    with connection.one_line_read_errors(uri):
        link = _connect(uri)
        try:
            yield Database(link)
        finally:
            link.close()


def _connect(uri: str) -> Any:
    if kind_of(uri) == POSTGRES:
        from adbc_driver_postgresql import dbapi

        link = dbapi.connect(f"postgresql:{uri.partition(':')[2]}")
        Database(link).execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return link
    from adbc_driver_sqlite import dbapi as sqlite

    file = address.sqlite_file(uri)
    if file is None or not file.is_file():
        raise BadRecord(f"there is no MLflow store {address.shown(uri)} yet: measure a cell, or import records first")
    return sqlite.connect(f"file:{file}?mode=ro")


def frame(database: Database, shown: str, metrics: Sequence[str]) -> Frame:
    """See `frame.Source`."""
    active = database.query(ACTIVE_RUNS, run_id=TEXT, started_ms=WHOLE, finished_ms=WHOLE)
    committed = active.join(_having(database, COMMITTED), on="run_id", how="semi")
    others = active.join(committed, on="run_id", how="anti")
    unfinished = others.join(_having(database, "session"), on="run_id", how="semi")
    strangers = others.join(unfinished, on="run_id", how="anti")
    for ours in (AB_TAG, REPORT_TAG):
        strangers = strangers.join(_having(database, ours), on="run_id", how="anti")
    check_found(shown, len(committed), len(strangers))
    rows = committed
    for column in SESSION_COLUMNS:
        rows = _with_text(database, rows, column)
    for name in metrics:
        query = f"SELECT run_uuid, value FROM latest_metrics WHERE key = '{METRIC_NAMES[name]}'"
        rows = rows.join(database.query(query, run_id=TEXT, **{name: NUMBER}), on="run_id", how="left")
    sessions = runs.finished(rows)
    manifests, unusable = _manifests(database, others)
    notes = told(len(strangers), len(unfinished))
    words = {key: _words_of(database, sessions, key, columns) for key, columns in KEYED.items()}
    cells = {key: runs.cell(of_cell) for key, of_cell in words["cell_key"].items()}
    return Frame(sessions, cells, words["env_key"], in_order(manifests), tuple(unusable), notes)


def _having(database: Database, tag: str) -> polars.DataFrame:
    return database.query(f"SELECT run_uuid FROM tags WHERE key = '{tag}'", run_id=TEXT)


def _with_text(database: Database, rows: polars.DataFrame, column: Text) -> polars.DataFrame:
    unusual = "" if column.usual is None else f" AND value <> '{column.usual}'"
    query = f"SELECT run_uuid, value FROM {TABLES[column.kind]} WHERE key = '{column.key}'{unusual}"
    joined = rows.join(database.query(query, run_id=TEXT, **{column.name: TEXT}), on="run_id", how="left")
    return joined if column.usual is None else joined.with_columns(polars.col(column.name).fill_null(column.usual))


def _words_of(
    database: Database, sessions: polars.DataFrame, key: str, columns: Sequence[Text]
) -> dict[str, dict[str, str | None]]:
    """What follows from a key, read of one session that has it."""
    first = dict(runs.first_of(sessions, key, "run_id"))
    words = _words(database, list(first.values()), columns)
    return {value: words[run_id] for value, run_id in first.items()}


def _words(database: Database, run_ids: Sequence[str], columns: Iterable[Text]) -> dict[str, dict[str, str | None]]:
    """Run → column → value."""
    chosen = list(columns)
    found: dict[str, dict[str, str | None]] = {run_id: {each.name: each.usual for each in chosen} for run_id in run_ids}
    for kind, table in TABLES.items():
        names = {column.key: column.name for column in chosen if column.kind == kind}
        for run_id, key, value in _of_runs(database, table, run_ids, f"AND key IN ({_listed(names)})"):
            found[run_id][names[key]] = value
    return found


def _of_runs(
    database: Database, table: str, run_ids: Sequence[str], condition: str = ""
) -> Iterator[tuple[str, str, str]]:
    """(run, key, value) of these runs."""
    for start in range(0, len(run_ids), RUNS_AT_ONCE):
        some = _listed(run_ids[start : start + RUNS_AT_ONCE])
        query = f"SELECT run_uuid, key, value FROM {table} WHERE run_uuid IN ({some}) {condition}"
        yield from database.query(query, run_id=TEXT, key=TEXT, value=TEXT).iter_rows()


def _listed(words: Iterable[str]) -> str:
    """As the inside of an SQL list; the words are names of ours and ids of MLflow's."""
    return ", ".join("'" + word.replace("'", "''") + "'" for word in words)


def _manifests(database: Database, others: polars.DataFrame) -> tuple[tuple[Manifest, ...], list[str]]:
    query = f"SELECT run_uuid, key, value FROM tags WHERE key LIKE '{PREFIX}%'"
    pieces = database.query(query, run_id=TEXT, key=TEXT, value=TEXT)
    found: list[Manifest] = []
    unusable: list[str] = []
    for (run_id,), tags in (
        pieces.join(others, on="run_id", how="semi").sort("run_id").group_by("run_id", maintain_order=True)
    ):
        try:
            found.append(manifest_of(dict(tags.select("key", "value").iter_rows()), f"run {run_id}"))
        except BadRecord as error:
            unusable.append(str(error))
    return tuple(found), unusable


def details(database: Database, run_ids: dict[str, str]) -> dict[str, Details]:
    """Of sessions, by id → run."""
    params: dict[str, dict[str, str]] = {run_id: {} for run_id in run_ids.values()}
    steps: dict[str, dict[int, float]] = {run_id: {} for run_id in run_ids.values()}
    for run_id, key, value in _of_runs(database, "params", list(params)):
        params[run_id][key] = value
    for start in range(0, len(steps), RUNS_AT_ONCE):
        some = _listed(list(steps)[start : start + RUNS_AT_ONCE])
        query = f"SELECT run_uuid, step, value FROM metrics WHERE key = '{SERIES_NAME}' AND run_uuid IN ({some})"
        for run_id, step, value in database.query(query, run_id=TEXT, step=WHOLE, value=NUMBER).iter_rows():
            steps[run_id][step] = value
    return {
        session: Details(params[run_id], tuple(value for _, value in sorted(steps[run_id].items())))
        for session, run_id in run_ids.items()
    }
