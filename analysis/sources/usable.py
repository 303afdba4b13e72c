"""Selection of usable sessions: schema and words are known to this version, and no required value is missing.

Records in a folder pass all of `runner verify`. Runs in a store may come from a newer version, have been edited, or
never have been closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import polars

from analysis.sources.columns import CELL_COLUMNS, METRIC_NAMES, SCHEMA, SESSION, SESSION_COLUMNS, Text, checked_columns
from runner.record import record

Words = Mapping[str, str | None]
WordsOf = Callable[[Sequence[int]], Mapping[int, Words]]
"""Returns the words of some columns by row number, for these row numbers."""

NEWER = "use a newer version of this project"
WALL = "step_wall_ms"
REQUIRED = ("cell_key", SESSION)
REQUIRED_IF_MEASURED = ("code_key", "env_key", "host_id")
OPTIONAL_CELL_FIELDS = ("options", "group_size", "sym", "desc_act", "double_quant")
NAMED_AT_MOST = 3
"""If more runs have the same fault, one line gives their number and the first of them."""


def split(rows: polars.DataFrame) -> tuple[polars.DataFrame, polars.DataFrame]:
    """Returns the usable sessions, and (run_id, fault) of the others."""
    marked = rows.with_columns(polars.coalesce(*_faults(rows.columns)).alias("fault"))
    usable = marked.filter(polars.col("fault").is_null()).drop("fault", *(column.name for column in checked_columns()))
    return usable, marked.drop_nulls("fault").select("run_id", "fault")


def _faults(columns: Sequence[str]) -> Iterator[polars.Expr]:
    """Yields an expression for each possible fault of a session: its text, or null. A newer schema hides all other
    faults."""
    column, when = polars.col, polars.when
    schema = str(record.SCHEMA_VERSION)
    newer = polars.format(f"its record is of schema {{}}, this version reads {schema}: {NEWER}", SCHEMA.name)
    yield when(column(SCHEMA.name) != schema).then(newer)
    for checked in checked_columns():
        if checked.known:
            words = ", ".join(checked.known)
            yield polars.format(f"{checked.key} {{}} is not known to this version ({words}): {NEWER}", checked.name)
    strange = polars.format(f"its status {{}} is not known to this version: {NEWER}", "status")
    yield when(~column("status").is_in(list(record.STATUSES))).then(strange)
    keys = {text.name: text.key for text in SESSION_COLUMNS}
    for name in REQUIRED:
        yield when(column(name).is_null()).then(polars.lit(f"it has no tag {keys[name]}"))
    is_measured = column("status") == record.MEASURED
    for name in REQUIRED_IF_MEASURED:
        yield when(is_measured & column(name).is_null()).then(polars.lit(f"it has no tag {keys[name]}"))
    yield when(column("protocol").is_null()).then(polars.lit("it has no param protocol.warmup or protocol.steps"))
    for name, word in (("started_ms", "start"), ("finished_ms", "end")):
        text = f"its run has no {word} (`python -m runner import` of its record closes it)"
        yield when(column(name).is_null()).then(polars.lit(text))
    if WALL in columns:
        has_none = ~(column(WALL) > 0).fill_null(False)
        yield when(is_measured & has_none).then(polars.lit(f"it is measured but has no number {METRIC_NAMES[WALL]}"))


def lines(rejected: polars.DataFrame) -> list[str]:
    """Returns a line for each rejected run (run_id, fault), or one line for many runs with the same fault."""
    named = polars.format("run {}", "run_id").fill_null("a record")
    kinds = rejected.select(named.alias("name"), "fault").sort("fault", "name").group_by("fault", maintain_order=True)
    texts: list[str] = []
    for fault, names in kinds.agg("name").iter_rows():
        many = len(names) > NAMED_AT_MOST
        texts += (
            [f"{len(names)} runs, the first {names[0]}: {fault}"] if many else [f"{name}: {fault}" for name in names]
        )
    return texts


def words_by_key(rows: polars.DataFrame, key: str, words_of: WordsOf) -> dict[str, Words]:
    """Returns the words that a key determines, taken from the first session with that key."""
    first = dict(rows.drop_nulls(key).unique(key, keep="first").select(key, "row").iter_rows())
    words = words_of(list(first.values()))
    return {value: words[row] for value, row in first.items()}


def cells(rows: polars.DataFrame, words_of: WordsOf) -> tuple[dict[str, Words], polars.DataFrame]:
    """Returns the words of each cell, and (row, run_id, fault) of sessions whose cell is incomplete in every run.

    If the first session of a cell lacks a word, the others are searched.
    """
    complete = {key: words for key, words in words_by_key(rows, "cell_key", words_of).items() if not _lacking(words)}
    remaining = rows.filter(~polars.col("cell_key").is_in(list(complete)))
    words = words_of(remaining["row"].to_list())
    for key, row in remaining.select("cell_key", "row").iter_rows():
        if not _lacking(words[row]):
            complete.setdefault(key, words[row])
    incomplete = remaining.filter(~polars.col("cell_key").is_in(list(complete)))
    faults = [f"it lacks {', '.join(_lacking(words[row]))} of its cell" for row in incomplete["row"]]
    return complete, incomplete.select("row", "run_id").with_columns(
        polars.Series("fault", faults, dtype=polars.String)
    )


def _lacking(words: Words) -> list[str]:
    """Returns the MLflow names of required cell fields that are missing or malformed."""
    required = [column for column in CELL_COLUMNS if column.name not in OPTIONAL_CELL_FIELDS]
    return [column.key for column in required if not _fits(column, words[column.name])]


def _fits(column: Text, word: str | None) -> bool:
    return word is not None and (column.name != "ctx" or word.isdecimal())
