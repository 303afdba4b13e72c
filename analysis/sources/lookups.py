"""Indexed look-ups of single runs in a store's tables: A/Bs and their sessions, and values that many runs share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import polars

from analysis.sources import runs
from analysis.sources.columns import (
    BACKEND_COLUMN,
    CELL_COLUMNS,
    COMMITTED,
    CONDITION_COLUMNS,
    COUNT_COLUMNS,
    ENVIRONMENT_COLUMNS,
    PARAM,
    SCHEMA,
    SERIES_NAME,
    SESSION_COLUMNS,
    TAG,
    Text,
    metric_names,
)
from analysis.sources.database import NUMBER, TEXT, WHOLE, Database
from analysis.sources.frame import Details, Frame, ab_fields, sessions_of
from analysis.sources.runs import Run
from analysis.sources.stored import check_sessions, source_notes
from runner.ab.manifest import Manifest
from runner.errors import BadRecord
from runner.store.ab_run import AB_TAG
from runner.store.experiment import MARK, Deleted
from runner.store.failed_run import REASON_TAG
from runner.store.manifesttags import PREFIX, manifest_from_tags
from runner.store.report import REPORT_TAG
from runner.store.session_run import SESSION_TAG

RUNS_AT_ONCE = 1000
IS_OURS = f"AND (key = '{SESSION_TAG}' OR key = '{REASON_TAG}' AND value <> '')"
"""Condition for tags of incomplete sessions and of failed requests."""
TABLES = {TAG: "tags", PARAM: "params"}
NUMBERS = dict.fromkeys(("metrics", "latest_metrics"), "AND NOT is_nan")
"""Conditions that exclude NaN, which MLflow stores as 0 with a mark, by table."""
ACTIVE_RUNS = """
SELECT runs.run_uuid, runs.start_time, runs.end_time
FROM runs JOIN experiments ON runs.experiment_id = experiments.experiment_id
WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'
"""
DELETED_EXPERIMENTS = f"""
SELECT experiments.experiment_id, experiments.name
FROM experiments JOIN experiment_tags ON experiments.experiment_id = experiment_tags.experiment_id
WHERE experiments.lifecycle_stage = 'deleted' AND experiment_tags.key = '{MARK}' ORDER BY experiments.experiment_id
"""


def active_runs(database: Database) -> polars.DataFrame:
    """Returns run_id, started_ms and finished_ms of every run that is not deleted."""
    return database.query(ACTIVE_RUNS, run_id=TEXT, started_ms=WHOLE, finished_ms=WHOLE)


def runs_with_tag(database: Database, tag: str) -> polars.DataFrame:
    """Returns the runs that have a tag. The index alone answers this query."""
    return database.query(f"SELECT run_uuid FROM tags WHERE key = '{tag}'", run_id=TEXT)


def active_sessions(database: Database, store: str) -> tuple[polars.DataFrame, polars.DataFrame, tuple[str, ...]]:
    """Returns the active runs of complete sessions, those of A/Bs, and notes on other runs.

    Raises BadRecord if there is no session.
    """
    active = active_runs(database)
    committed = runs_with_tag(database, COMMITTED)
    other_runs = active.join(committed, on="run_id", how="anti")
    comparisons, reports = (runs_with_tag(database, mark) for mark in (AB_TAG, REPORT_TAG))
    rest = other_runs.join(comparisons, on="run_id", how="anti").join(reports, on="run_id", how="anti")
    marks = list(run_values(database, "tags", rest["run_id"].to_list(), IS_OURS))
    begun = {run_id for run_id, key, _ in marks if key == SESSION_TAG}
    failed = {run_id for run_id, _, _ in marks} - begun
    foreign = len(rest) - len(begun) - len(failed)
    sessions = active.join(committed, on="run_id", how="semi")
    check_sessions(store, len(sessions), foreign, len(failed), lambda: _deleted(database))
    return sessions, other_runs.join(comparisons, on="run_id", how="semi"), source_notes(foreign, len(begun))


def _deleted(database: Database) -> list[Deleted]:
    rows = database.query(DELETED_EXPERIMENTS, id=TEXT, name=TEXT)
    return [Deleted(number, name) for number, name in rows.iter_rows()]


def compared(database: Database, store: str, needed: Sequence[str]) -> Frame:
    """Returns the frame of A/Bs (see `frame.Source`). Only sessions of A/Bs are read."""
    sessions, comparisons, notes = active_sessions(database, store)
    by_run, unusable = manifests(database, comparisons["run_id"])
    query = f"SELECT run_uuid, value FROM tags WHERE key = '{SESSION_TAG}'"
    ids = database.query(query, run_id=TEXT, session=TEXT)
    used = ids.filter(polars.col("session").is_in(list(sessions_of(by_run.values()))))
    read = _runs(database, sessions.join(used, on="run_id", how="semi"), needed)
    return runs.frame(read, needed, **ab_fields(by_run), left_out=unusable, notes=notes)


def _runs(database: Database, runs_table: polars.DataFrame, needed: Sequence[str]) -> Iterator[Run]:
    """Yields these runs (run_id, started_ms, finished_ms) with all values that a frame needs."""
    run_ids = runs_table["run_id"].to_list()
    keys: dict[str, list[str]] = {TAG: [], PARAM: []}
    session_columns = (*SESSION_COLUMNS, SCHEMA, BACKEND_COLUMN, *CONDITION_COLUMNS)
    for column in (*session_columns, *COUNT_COLUMNS, *CELL_COLUMNS, *ENVIRONMENT_COLUMNS):
        keys[column.kind].append(column.key)
    tags, params = (_values(database, TABLES[kind], run_ids, keys[kind], TEXT) for kind in (TAG, PARAM))
    metrics = _values(database, "latest_metrics", run_ids, list(metric_names(needed)), NUMBER)
    for run_id, started_ms, finished_ms in runs_table.iter_rows():
        yield Run(run_id, started_ms, finished_ms, params[run_id], metrics[run_id], tags[run_id])


def _values(
    database: Database, table: str, run_ids: Sequence[str], keys: Sequence[str], value: Any
) -> dict[str, dict[str, Any]]:
    """Returns the values by run and key."""
    values: dict[str, dict[str, Any]] = {run_id: {} for run_id in run_ids}
    condition = f"AND key IN ({listed(keys)}) {NUMBERS.get(table, '')}"
    for run_id, key, content in run_values(database, table, run_ids, condition, value) if keys else ():
        values[run_id][key] = content
    return values


def words(database: Database, run_ids: Sequence[str], columns: Iterable[Text]) -> dict[str, dict[str, str | None]]:
    """Returns the words by run and column."""
    text_columns = list(columns)
    by_run: dict[str, dict[str, str | None]] = {
        run_id: {column.name: column.usual for column in text_columns} for run_id in run_ids
    }
    for kind, table in TABLES.items():
        names = {column.key: column.name for column in text_columns if column.kind == kind}
        for run_id, run_words in _values(database, table, run_ids, list(names), TEXT).items():
            by_run[run_id] |= {names[key]: value for key, value in run_words.items()}
    return by_run


def run_values(
    database: Database, table: str, run_ids: Sequence[str], condition: str = "", value: Any = TEXT
) -> Iterator[tuple[str, str, Any]]:
    """Yields (run, key, value) of these runs."""
    for start in range(0, len(run_ids), RUNS_AT_ONCE):
        batch = listed(run_ids[start : start + RUNS_AT_ONCE])
        query = f"SELECT run_uuid, key, value FROM {table} WHERE run_uuid IN ({batch}) {condition}"
        yield from database.query(query, run_id=TEXT, key=TEXT, value=value).iter_rows()


def listed(words: Iterable[str]) -> str:
    """Returns the words as the inside of an SQL list."""
    return ", ".join("'" + word.replace("'", "''") + "'" for word in words)


def manifests(database: Database, run_ids: Iterable[str]) -> tuple[dict[str, Manifest], list[str]]:
    """Returns manifests by run, and a line for each that cannot be read. A run without a manifest has nothing
    measured."""
    tags: dict[str, dict[str, str]] = {}
    for run_id, key, value in run_values(database, "tags", sorted(run_ids), f"AND key LIKE '{PREFIX}%'"):
        tags.setdefault(run_id, {})[key] = value
    by_run: dict[str, Manifest] = {}
    unusable: list[str] = []
    for run_id, pieces in tags.items():
        try:
            by_run[run_id] = manifest_from_tags(pieces, f"run {run_id}")
        except BadRecord as error:
            unusable.append(str(error))
    return by_run, unusable


def details(database: Database, run_ids: dict[str, str]) -> dict[str, Details]:
    """Returns the details of sessions by id, given their runs."""
    params: dict[str, dict[str, str]] = {run_id: {} for run_id in run_ids.values()}
    steps: dict[str, dict[int, float]] = {run_id: {} for run_id in run_ids.values()}
    for run_id, key, value in run_values(database, "params", list(params)):
        params[run_id][key] = value
    for start in range(0, len(steps), RUNS_AT_ONCE):
        batch = listed(list(steps)[start : start + RUNS_AT_ONCE])
        condition = f"key = '{SERIES_NAME}' AND run_uuid IN ({batch}) {NUMBERS['metrics']}"
        query = f"SELECT run_uuid, step, value FROM metrics WHERE {condition}"
        for run_id, step, value in database.query(query, run_id=TEXT, step=WHOLE, value=NUMBER).iter_rows():
            steps[run_id][step] = value
    return {
        session: Details(params[run_id], tuple(value for _, value in sorted(steps[run_id].items())))
        for session, run_id in run_ids.items()
    }
