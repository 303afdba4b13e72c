"""Sessions straight from MLflow's tables in SQLite or PostgreSQL: ADBC → Arrow → polars, one pass over each table.

The tables are MLflow's own business and may change with any release: only revisions of its schema that were tested are
read this way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars

from analysis.sources import lookups, runs
from analysis.sources.columns import (
    CELL_COLUMNS,
    COUNT_COLUMNS,
    ENVIRONMENT_COLUMNS,
    Text,
    metric_names,
    session_columns,
)
from analysis.sources.database import NUMBER, SQLITE, TEXT, Database
from analysis.sources.frame import Frame, in_order, runs_of
from runner import protocol

TESTED_REVISIONS = ("dc11669786a5",)  # MLflow 3.17
Keyed = Mapping[str, polars.DataFrame]
KEYED = {"cell_key": CELL_COLUMNS, "env_key": ENVIRONMENT_COLUMNS}


def frame(database: Database, shown: str, asked: Sequence[str]) -> Frame:
    """See `frame.Source`. Tags and metrics are read by two threads at once, each with a connection of its own."""
    names, columns = metric_names(asked), session_columns(asked)
    with database.beside() as second, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(_scanned, second, "latest_metrics", NUMBER, dict.fromkeys(names))
        committed, comparisons, notes = lookups.sorted_out(database, shown)
        usual = {column.key: column.usual for column in columns}
        tags = _scanned(database, "tags", TEXT, usual)
        values = reading.result()
    rows = committed.with_row_index("row")
    texts = _by_row(tags, rows, usual)
    for column in columns:
        rows = _with_text(rows, column, texts[column.key])
    for key, found in _by_row(values, rows, names).items():
        rows = rows.join(found.rename({"value": names[key]}), on="row", how="left")
    sessions = runs.finished(_with_counts(database, rows.drop("row")))
    words = {key: _words_of(database, sessions, key, needed) for key, needed in KEYED.items()}
    cells = {key: runs.cell(of_cell) for key, of_cell in words["cell_key"].items()}
    by_run, unusable = lookups.manifests(database, comparisons["run_id"])
    told_of_abs = (in_order(by_run.values()), runs_of(by_run))
    return Frame(sessions, cells, words["env_key"], *told_of_abs, tuple(unusable), notes)


def _scanned(database: Database, table: str, value: Any, wanted: Mapping[str, str | None]) -> polars.DataFrame:
    """The rows (run_id, key, value) of the keys but those with a key's usual value. One pass over the whole table: a
    run's rows lie together, so that to look up one key by the index reads nearly every page, too, and two keys read
    them twice."""
    if not wanted:
        return polars.DataFrame(schema={"run_id": TEXT, "key": TEXT, "value": value})
    dense = [key for key, usual in wanted.items() if usual is None]
    sparse = {key: usual for key, usual in wanted.items() if usual is not None}
    conditions = [f"key IN ({lookups.listed(dense)})"] if dense else []
    if sparse:
        usual = " ".join(f"WHEN {lookups.listed([key])} THEN {lookups.listed([word])}" for key, word in sparse.items())
        conditions.append(f"key IN ({lookups.listed(sparse)}) AND value <> CASE key {usual} END")
    hint = " NOT INDEXED" if database.kind == SQLITE else ""  # PostgreSQL's planner sees to it itself
    query = f"SELECT run_uuid, key, value FROM {table}{hint} WHERE {' OR '.join(conditions)}"
    return database.query(query, run_id=TEXT, key=TEXT, value=value)


def _by_row(scanned: polars.DataFrame, rows: polars.DataFrame, keys: Iterable[str]) -> Keyed:
    """Key → its values with the number of their run's row: one join by ids, so that the others join by numbers."""
    numbered = scanned.join(rows.select("run_id", "row"), on="run_id").select("row", "key", "value")
    parts = numbered.partition_by("key", as_dict=True, include_key=False)
    return {key: parts.get((key,), numbered.clear().drop("key")) for key in keys}


def _with_text(rows: polars.DataFrame, column: Text, values: polars.DataFrame) -> polars.DataFrame:
    joined = rows.join(values.rename({"value": column.name}), on="row", how="left")
    return joined if column.usual is None else joined.with_columns(polars.col(column.name).fill_null(column.usual))


def _with_counts(database: Database, rows: polars.DataFrame) -> polars.DataFrame:
    """Warm-up and timed steps of custom protocols, which no tag tells."""
    custom = rows.filter(~polars.col("protocol_name").is_in(list(protocol.NAMED)))["run_id"].to_list()
    words = lookups.words(database, custom, COUNT_COLUMNS)
    columns = {name: [words[run_id][name] for run_id in custom] for name in ("warmup", "steps")}
    counts = polars.DataFrame({"run_id": custom, **columns}, schema=dict.fromkeys(("run_id", *columns), TEXT))
    return rows.join(counts, on="run_id", how="left")


def _words_of(
    database: Database, sessions: polars.DataFrame, key: str, columns: Sequence[Text]
) -> dict[str, dict[str, str | None]]:
    """What follows from a key, read of one session that has it."""
    first = dict(sessions.drop_nulls(key).unique(key, keep="first").select(key, "run_id").iter_rows())
    words = lookups.words(database, list(first.values()), columns)
    return {value: words[run_id] for value, run_id in first.items()}
