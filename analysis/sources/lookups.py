"""Single runs of a store's tables, looked up by the index: A/Bs and their sessions, and what one run tells for many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import polars

from analysis.sources import runs
from analysis.sources.columns import (
    CELL_COLUMNS,
    COMMITTED,
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
from analysis.sources.frame import Details, Frame, sessions_of, told_of_abs
from analysis.sources.runs import Run
from analysis.sources.stored import check_found, told
from runner.ab.manifest import Manifest
from runner.errors import BadRecord
from runner.store.ab_run import AB_TAG
from runner.store.experiment import MARK, Deleted
from runner.store.manifesttags import PREFIX, manifest_of
from runner.store.report import REPORT_TAG
from runner.store.session_run import SESSION_TAG

RUNS_AT_ONCE = 1000
TABLES = {TAG: "tags", PARAM: "params"}
NUMBERS = dict.fromkeys(("metrics", "latest_metrics"), "AND NOT is_nan")
"""MLflow keeps a NaN as 0 with a mark."""
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
    """run_id, started_ms and finished_ms of every run that nobody deleted."""
    return database.query(ACTIVE_RUNS, run_id=TEXT, started_ms=WHOLE, finished_ms=WHOLE)


def having(database: Database, tag: str) -> polars.DataFrame:
    """The runs that have a tag; the index alone tells."""
    return database.query(f"SELECT run_uuid FROM tags WHERE key = '{tag}'", run_id=TEXT)


def sorted_out(database: Database, shown: str) -> tuple[polars.DataFrame, polars.DataFrame, tuple[str, ...]]:
    """The active runs of whole sessions, those of A/Bs, and what is to be told of others. Raises BadRecord where there
    is no session."""
    active = active_runs(database)
    committed = having(database, COMMITTED)
    others = active.join(committed, on="run_id", how="anti")
    comparisons, reports = (having(database, mark) for mark in (AB_TAG, REPORT_TAG))
    rest = others.join(comparisons, on="run_id", how="anti").join(reports, on="run_id", how="anti")
    begun = len(list(of_runs(database, "tags", rest["run_id"].to_list(), f"AND key = '{SESSION_TAG}'")))
    sessions = active.join(committed, on="run_id", how="semi")
    check_found(shown, len(sessions), len(rest) - begun, lambda: _deleted(database))
    return sessions, others.join(comparisons, on="run_id", how="semi"), told(len(rest) - begun, begun)


def _deleted(database: Database) -> list[Deleted]:
    found = database.query(DELETED_EXPERIMENTS, id=TEXT, name=TEXT)
    return [Deleted(number, name) for number, name in found.iter_rows()]


def compared(database: Database, shown: str, asked: Sequence[str]) -> Frame:
    """See `frame.Source`: of thousands of sessions only those of A/Bs are read."""
    sessions, comparisons, notes = sorted_out(database, shown)
    found, unusable = manifests(database, comparisons["run_id"])
    query = f"SELECT run_uuid, value FROM tags WHERE key = '{SESSION_TAG}'"
    ids = database.query(query, run_id=TEXT, session=TEXT)
    used = ids.filter(polars.col("session").is_in(list(sessions_of(found.values()))))
    read = _runs(database, sessions.join(used, on="run_id", how="semi"), asked)
    return runs.frame(read, asked, **told_of_abs(found), left_out=unusable, notes=notes)


def _runs(database: Database, wanted: polars.DataFrame, asked: Sequence[str]) -> Iterator[Run]:
    """These runs (run_id, started_ms, finished_ms) with all that a frame has of them."""
    run_ids = wanted["run_id"].to_list()
    keys: dict[str, list[str]] = {TAG: [], PARAM: []}
    for column in (*SESSION_COLUMNS, SCHEMA, *COUNT_COLUMNS, *CELL_COLUMNS, *ENVIRONMENT_COLUMNS):
        keys[column.kind].append(column.key)
    tags, params = (_values(database, TABLES[kind], run_ids, keys[kind], TEXT) for kind in (TAG, PARAM))
    metrics = _values(database, "latest_metrics", run_ids, list(metric_names(asked)), NUMBER)
    for run_id, started_ms, finished_ms in wanted.iter_rows():
        yield Run(run_id, started_ms, finished_ms, params[run_id], metrics[run_id], tags[run_id])


def _values(
    database: Database, table: str, run_ids: Sequence[str], keys: Sequence[str], value: Any
) -> dict[str, dict[str, Any]]:
    """Run → key → value."""
    found: dict[str, dict[str, Any]] = {run_id: {} for run_id in run_ids}
    condition = f"AND key IN ({listed(keys)}) {NUMBERS.get(table, '')}"
    for run_id, key, own in of_runs(database, table, run_ids, condition, value) if keys else ():
        found[run_id][key] = own
    return found


def words(database: Database, run_ids: Sequence[str], columns: Iterable[Text]) -> dict[str, dict[str, str | None]]:
    """Run → column → value."""
    chosen = list(columns)
    found: dict[str, dict[str, str | None]] = {run_id: {each.name: each.usual for each in chosen} for run_id in run_ids}
    for kind, table in TABLES.items():
        names = {column.key: column.name for column in chosen if column.kind == kind}
        for run_id, values in _values(database, table, run_ids, list(names), TEXT).items():
            found[run_id] |= {names[key]: value for key, value in values.items()}
    return found


def of_runs(
    database: Database, table: str, run_ids: Sequence[str], condition: str = "", value: Any = TEXT
) -> Iterator[tuple[str, str, Any]]:
    """(run, key, value) of these runs."""
    for start in range(0, len(run_ids), RUNS_AT_ONCE):
        some = listed(run_ids[start : start + RUNS_AT_ONCE])
        query = f"SELECT run_uuid, key, value FROM {table} WHERE run_uuid IN ({some}) {condition}"
        yield from database.query(query, run_id=TEXT, key=TEXT, value=value).iter_rows()


def listed(words: Iterable[str]) -> str:
    """As the inside of an SQL list; the words are names of ours and ids of MLflow's."""
    return ", ".join("'" + word.replace("'", "''") + "'" for word in words)


def manifests(database: Database, run_ids: Iterable[str]) -> tuple[dict[str, Manifest], list[str]]:
    """Run → its manifest, and a line for each that cannot be read; a run that has none yet has nothing measured."""
    tags: dict[str, dict[str, str]] = {}
    for run_id, key, value in of_runs(database, "tags", sorted(run_ids), f"AND key LIKE '{PREFIX}%'"):
        tags.setdefault(run_id, {})[key] = value
    found: dict[str, Manifest] = {}
    unusable: list[str] = []
    for run_id, pieces in tags.items():
        try:
            found[run_id] = manifest_of(pieces, f"run {run_id}")
        except BadRecord as error:
            unusable.append(str(error))
    return found, unusable


def details(database: Database, run_ids: dict[str, str]) -> dict[str, Details]:
    """Of sessions, by id → run."""
    params: dict[str, dict[str, str]] = {run_id: {} for run_id in run_ids.values()}
    steps: dict[str, dict[int, float]] = {run_id: {} for run_id in run_ids.values()}
    for run_id, key, value in of_runs(database, "params", list(params)):
        params[run_id][key] = value
    for start in range(0, len(steps), RUNS_AT_ONCE):
        some = listed(list(steps)[start : start + RUNS_AT_ONCE])
        of_series = f"key = '{SERIES_NAME}' AND run_uuid IN ({some}) {NUMBERS['metrics']}"
        query = f"SELECT run_uuid, step, value FROM metrics WHERE {of_series}"
        for run_id, step, value in database.query(query, run_id=TEXT, step=WHOLE, value=NUMBER).iter_rows():
            steps[run_id][step] = value
    return {
        session: Details(params[run_id], tuple(value for _, value in sorted(steps[run_id].items())))
        for session, run_id in run_ids.items()
    }
