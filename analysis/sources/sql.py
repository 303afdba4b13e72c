"""Sessions straight from MLflow's tables in SQLite or PostgreSQL: one query a column, ADBC → Arrow → polars.

The tables are MLflow's own business and may change with any release: only revisions of its schema that were tested are
read this way. All queries of a frame see one state of the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import polars

from analysis.sources import runs
from analysis.sources.columns import (
    CELL_COLUMNS,
    COMMITTED,
    ENVIRONMENT_COLUMNS,
    METRIC_NAMES,
    PARAM,
    SERIES_NAME,
    SESSION_COLUMNS,
    TAG,
    Text,
)
from analysis.sources.frame import Details, Frame, in_order
from analysis.sources.stored import REPORT_TAG, check_found, told
from runner.ab.manifest import Manifest
from runner.errors import BadRecord
from runner.store import address, connection
from runner.store.comparison import AB_TAG
from runner.store.manifesttags import PREFIX, manifest_of
from runner.store.view import SESSION_TAG

TESTED_REVISIONS = ("dc11669786a5",)  # MLflow 3.17
SQLITE, POSTGRES = "sqlite", "postgresql"
TEXT, WHOLE, NUMBER = polars.String, polars.Int64, polars.Float64
RUNS_AT_ONCE = 1000
KEYED = {"cell_key": CELL_COLUMNS, "env_key": ENVIRONMENT_COLUMNS}
TABLES = {TAG: "tags", PARAM: "params"}
MARKS = (COMMITTED, AB_TAG, REPORT_TAG)
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

    def __init__(self, link: Any, kind: str) -> None:
        self._link = link
        self.without_index = " NOT INDEXED" if kind == SQLITE else ""  # PostgreSQL's planner sees to it itself

    def query(self, text: str, **types: Any) -> polars.DataFrame:
        """The rows, with columns of these names and types (SQLite tells none where there is no row)."""
        with self._link.cursor() as cursor:
            cursor.execute(text)
            found = cursor.fetch_arrow_table()
        rows = polars.from_arrow(found.rename_columns(list(types)))
        assert isinstance(rows, polars.DataFrame)
        return rows.cast(polars.Schema(types))

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
            yield Database(link, kind_of(uri) or SQLITE)
        finally:
            link.close()


def _connect(uri: str) -> Any:
    if kind_of(uri) == POSTGRES:
        from adbc_driver_postgresql import dbapi

        link = dbapi.connect(f"postgresql:{uri.partition(':')[2]}")
        Database(link, POSTGRES).execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return link
    from adbc_driver_sqlite import dbapi as sqlite

    file = address.sqlite_file(uri)
    if file is None or not file.is_file():
        raise BadRecord(f"there is no MLflow store {address.shown(uri)} yet: measure a cell, or import records first")
    return sqlite.connect(f"file:{file}?mode=ro")


def frame(database: Database, shown: str, metrics: Sequence[str]) -> Frame:
    """See `frame.Source`."""
    active = database.query(ACTIVE_RUNS, run_id=TEXT, started_ms=WHOLE, finished_ms=WHOLE)
    tags = _scanned(database, "tags", TEXT, {**_usual(TAG), **dict.fromkeys(MARKS)})
    committed = active.join(tags[COMMITTED], on="run_id", how="semi")
    others = active.join(committed, on="run_id", how="anti")
    unfinished = others.join(tags[SESSION_TAG], on="run_id", how="semi")
    strangers = others.join(unfinished, on="run_id", how="anti")
    for ours in (AB_TAG, REPORT_TAG):
        strangers = strangers.join(tags[ours], on="run_id", how="anti")
    check_found(shown, len(committed), len(strangers))
    params = _scanned(database, "params", TEXT, _usual(PARAM))
    rows = committed
    for column in SESSION_COLUMNS:
        rows = _with_text(rows, column, (tags if column.kind == TAG else params)[column.key])
    names = {METRIC_NAMES[name]: name for name in metrics}
    for key, values in _scanned(database, "latest_metrics", NUMBER, dict.fromkeys(names)).items():
        rows = rows.join(values.rename({"value": names[key]}), on="run_id", how="left")
    sessions = runs.finished(rows)
    words = {key: _words_of(database, sessions, key, columns) for key, columns in KEYED.items()}
    cells = {key: runs.cell(of_cell) for key, of_cell in words["cell_key"].items()}
    manifests, unusable = _manifests(database, others.join(tags[AB_TAG], on="run_id", how="semi"))
    notes = told(len(strangers), len(unfinished))
    return Frame(sessions, cells, words["env_key"], in_order(manifests), tuple(unusable), notes)


def _usual(kind: str) -> dict[str, str | None]:
    """Key → usual value of the session columns of a kind."""
    return {column.key: column.usual for column in SESSION_COLUMNS if column.kind == kind}


def _scanned(
    database: Database, table: str, value: Any, wanted: Mapping[str, str | None]
) -> dict[str, polars.DataFrame]:
    """Key → its rows (run_id, value) but those with the key's usual value. One pass over the whole table: a run's rows
    lie together, so that to look up one key by the index reads nearly every page, too, and two keys read them twice."""
    dense = [key for key, usual in wanted.items() if usual is None]
    sparse = {key: usual for key, usual in wanted.items() if usual is not None}
    conditions = [f"key IN ({_listed(dense)})"] if dense else []
    if sparse:
        usual = " ".join(f"WHEN {_listed([key])} THEN {_listed([word])}" for key, word in sparse.items())
        conditions.append(f"key IN ({_listed(sparse)}) AND value <> CASE key {usual} END")
    query = f"SELECT run_uuid, key, value FROM {table}{database.without_index} WHERE {' OR '.join(conditions)}"
    found = database.query(query, run_id=TEXT, key=TEXT, value=value)
    parts = found.partition_by("key", as_dict=True, include_key=False)
    return {key: parts.get((key,), found.clear().drop("key")) for key in wanted}


def _with_text(rows: polars.DataFrame, column: Text, values: polars.DataFrame) -> polars.DataFrame:
    joined = rows.join(values.rename({"value": column.name}), on="run_id", how="left")
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
        if not names:
            continue
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


def _manifests(database: Database, comparisons: polars.DataFrame) -> tuple[list[Manifest], list[str]]:
    """Of these runs, and a line for each that cannot be read; a run that has none yet has nothing measured."""
    tags: dict[str, dict[str, str]] = {}
    condition = f"AND key LIKE '{PREFIX}%'"
    for run_id, key, value in _of_runs(database, "tags", sorted(comparisons["run_id"]), condition):
        tags.setdefault(run_id, {})[key] = value
    found: list[Manifest] = []
    unusable: list[str] = []
    for run_id, pieces in tags.items():
        try:
            found.append(manifest_of(pieces, f"run {run_id}"))
        except BadRecord as error:
            unusable.append(str(error))
    return found, unusable


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
