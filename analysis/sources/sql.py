"""Sessions directly from MLflow's tables in SQLite or PostgreSQL: ADBC → Arrow → polars, one pass over each table.

MLflow may change its tables in any release, so only tested revisions of its schema are read this way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import polars

from analysis.sources import lookups, runs
from analysis.sources.columns import COUNT_COLUMNS, Text, metric_names, session_columns
from analysis.sources.database import NUMBER, SQLITE, TEXT, Database
from analysis.sources.frame import Frame, ab_fields
from runner.cell import protocol

TESTED_REVISIONS = ("dc11669786a5",)  # MLflow 3.17
Keyed = Mapping[str, polars.DataFrame]


def frame(database: Database, store: str, needed: Sequence[str]) -> Frame:
    """Returns the frame of all sessions (see `frame.Source`). Two threads read tags and metrics, each with its own
    connection."""
    names, columns = metric_names(needed), session_columns(needed)
    with database.second() as second, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(_scanned, second, "latest_metrics", NUMBER, dict.fromkeys(names, ()))
        committed, comparisons, notes = lookups.active_sessions(database, store)
        tags = _scanned(database, "tags", TEXT, {column.key: column.unsent for column in columns})
        values = reading.result()
    rows = committed.with_row_index("row")
    texts = _by_row(tags, rows, [column.key for column in columns])
    for column in columns:
        rows = _with_text(rows, column, texts[column.key])
    for key, numbers in _by_row(values, rows, names).items():
        rows = rows.join(numbers.rename({"value": names[key]}), on="row", how="left")
    by_run, unusable = lookups.manifests(database, comparisons["run_id"])
    words_of = partial(_words_of, database, committed["run_id"])
    return runs.frame_of_rows(_with_counts(database, rows), words_of, unusable, **ab_fields(by_run), notes=notes)


def _scanned(
    database: Database, table: str, value: Any, unsent_by_key: Mapping[str, Sequence[str]]
) -> polars.DataFrame:
    """Returns (run_id, key, value) of the keys, without the values that a key need not send.

    One pass reads the whole table. The rows of a run are adjacent, so looking up one key by the index reads nearly
    every page, too, and two keys read them twice.
    """
    if not unsent_by_key:
        return polars.DataFrame(schema={"run_id": TEXT, "key": TEXT, "value": value})
    dense = [key for key, unsent in unsent_by_key.items() if not unsent]
    sparse = {key: unsent for key, unsent in unsent_by_key.items() if unsent}
    conditions = [f"key IN ({lookups.listed(dense)})"] if dense else []
    if sparse:
        cases = (
            f"WHEN {lookups.listed([key])} THEN value NOT IN ({lookups.listed(words)})" for key, words in sparse.items()
        )
        conditions.append(f"key IN ({lookups.listed(sparse)}) AND CASE key {' '.join(cases)} END")
    hint = " NOT INDEXED" if database.kind == SQLITE else ""  # PostgreSQL's planner decides this itself
    chosen = f"({' OR '.join(conditions)}) {lookups.NUMBERS.get(table, '')}"
    query = f"SELECT run_uuid, key, value FROM {table}{hint} WHERE {chosen}"
    return database.query(query, run_id=TEXT, key=TEXT, value=value)


def _by_row(scanned: polars.DataFrame, rows: polars.DataFrame, keys: Iterable[str]) -> Keyed:
    """Returns the values of each key with their row numbers. One join by run id replaces a join by id for every
    column."""
    numbered = scanned.join(rows.select("run_id", "row"), on="run_id").select("row", "key", "value")
    parts = numbered.partition_by("key", as_dict=True, include_key=False)
    return {key: parts.get((key,), numbered.clear().drop("key")) for key in keys}


def _with_text(rows: polars.DataFrame, column: Text, values: polars.DataFrame) -> polars.DataFrame:
    joined = rows.join(values.rename({"value": column.name}), on="row", how="left")
    return joined if column.usual is None else joined.with_columns(polars.col(column.name).fill_null(column.usual))


def _with_counts(database: Database, rows: polars.DataFrame) -> polars.DataFrame:
    """Returns the rows with the counts of custom protocols, which no tag contains."""
    custom = rows.filter(~polars.col("protocol_name").is_in(list(protocol.NAMED)))["run_id"].to_list()
    words = lookups.words(database, custom, COUNT_COLUMNS)
    columns = {column.name: [words[run_id][column.name] for run_id in custom] for column in COUNT_COLUMNS}
    counts = polars.DataFrame({"run_id": custom, **columns}, schema=dict.fromkeys(("run_id", *columns), TEXT))
    return rows.join(counts, on="run_id", how="left")


def _words_of(
    database: Database, run_ids: polars.Series, columns: Sequence[Text], rows: Sequence[int]
) -> dict[int, dict[str, str | None]]:
    by_row = {row: run_ids[row] for row in rows}
    words = lookups.words(database, list(by_row.values()), columns)
    return {row: words[run_id] for row, run_id in by_row.items()}
