"""Which sessions a row can be made of: those whose schema and words this version knows and that lack nothing it needs.

A record in a folder is held against all of `runner verify`. A store has only what is in its runs: they may come from a
newer version, have been edited, or never have been closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import polars

from analysis.sources.columns import CELL_COLUMNS, METRIC_NAMES, SCHEMA, SESSION, SESSION_COLUMNS, Text, checked_columns
from runner.record import record

Words = Mapping[str, str | None]
WordsOf = Callable[[Sequence[int]], Mapping[int, Words]]
"""Of the rows of these numbers, what their runs say of some columns."""

NEWER = "use a newer version of this project"
WALL = "step_wall_ms"
OF_ALL = ("cell_key", SESSION)
OF_MEASURED = ("code_key", "env_key", "host_id")
OPTIONAL_OF_CELLS = ("options", "group_size", "sym", "desc_act", "double_quant")
NAMED_AT_MOST = 3
"""Of more runs with the same fault one line tells how many they are, and the first."""


def sorted_out(rows: polars.DataFrame) -> tuple[polars.DataFrame, polars.DataFrame]:
    """The sessions that can be used, and (run_id, fault) of the others."""
    marked = rows.with_columns(polars.coalesce(*_faults(rows.columns)).alias("fault"))
    kept = marked.filter(polars.col("fault").is_null()).drop("fault", *(column.name for column in checked_columns()))
    return kept, marked.drop_nulls("fault").select("run_id", "fault")


def _faults(columns: Sequence[str]) -> Iterator[polars.Expr]:
    """What may be wrong with a session in words, each None where it is not; of a newer schema nothing else is said."""
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
    for name in OF_ALL:
        yield when(column(name).is_null()).then(polars.lit(f"it has no tag {keys[name]}"))
    is_measured = column("status") == record.MEASURED
    for name in OF_MEASURED:
        yield when(is_measured & column(name).is_null()).then(polars.lit(f"it has no tag {keys[name]}"))
    yield when(column("protocol").is_null()).then(polars.lit("it has no param protocol.warmup or protocol.steps"))
    for name, word in (("started_ms", "start"), ("finished_ms", "end")):
        text = f"its run has no {word} (where it was not closed, `python -m runner import` of its record does it)"
        yield when(column(name).is_null()).then(polars.lit(text))
    if WALL in columns:
        has_none = ~(column(WALL) > 0).fill_null(False)
        yield when(is_measured & has_none).then(polars.lit(f"it is measured and has no number {METRIC_NAMES[WALL]}"))


def lines(wrong: polars.DataFrame) -> list[str]:
    """A line for each run that is left out, or for all of one fault where they are many; of (run_id, fault)."""
    named = polars.format("run {}", "run_id").fill_null("a record")
    kinds = wrong.select(named.alias("name"), "fault").sort("fault", "name").group_by("fault", maintain_order=True)
    found: list[str] = []
    for fault, names in kinds.agg("name").iter_rows():
        many = len(names) > NAMED_AT_MOST
        found += [f"{len(names)} runs, the first {names[0]}: {fault}"] if many else [f"{one}: {fault}" for one in names]
    return found


def told(rows: polars.DataFrame, key: str, words_of: WordsOf) -> dict[str, Words]:
    """What follows from a key, as the first session says that has it."""
    first = dict(rows.drop_nulls(key).unique(key, keep="first").select(key, "row").iter_rows())
    words = words_of(list(first.values()))
    return {value: words[row] for value, row in first.items()}


def cells(rows: polars.DataFrame, words_of: WordsOf) -> tuple[dict[str, Words], polars.DataFrame]:
    """The words of each cell, and (row, fault) of the sessions whose cell nobody tells whole. Of a cell whose first
    session lacks a word the others are asked."""
    found = {key: words for key, words in told(rows, "cell_key", words_of).items() if not _lacking(words)}
    others = rows.filter(~polars.col("cell_key").is_in(list(found)))
    words = words_of(others["row"].to_list())
    for key, row in others.select("cell_key", "row").iter_rows():
        if not _lacking(words[row]):
            found.setdefault(key, words[row])
    untold = others.filter(~polars.col("cell_key").is_in(list(found)))
    faults = [f"it lacks {', '.join(_lacking(words[row]))} of its cell" for row in untold["row"]]
    return found, untold.select("row", "run_id").with_columns(polars.Series("fault", faults, dtype=polars.String))


def _lacking(words: Words) -> list[str]:
    """The names in MLflow of what a cell must have and these do not tell."""
    needed = [column for column in CELL_COLUMNS if column.name not in OPTIONAL_OF_CELLS]
    return [column.key for column in needed if not _fits(column, words[column.name])]


def _fits(column: Text, word: str | None) -> bool:
    return word is not None and (column.name != "ctx" or word.isdecimal())
