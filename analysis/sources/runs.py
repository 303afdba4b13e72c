"""Frames made from whole runs: of records, and of stores that cannot be queried by column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars

from analysis.sources import repeated, unconditioned, usable
from analysis.sources.columns import (
    BACKEND,
    BACKEND_COLUMN,
    CELL_COLUMNS,
    CONDITION_COLUMNS,
    COUNT_COLUMNS,
    DIGEST,
    ENVIRONMENT_COLUMNS,
    QUOTIENTS,
    SESSION,
    SOFTWARE,
    TAG,
    Text,
    metric_names,
    session_columns,
)
from analysis.sources.frame import Cell, Details, Frame
from analysis.sources.usable import Words
from runner.cell import protocol
from runner.record.flags import GATE_1
from runner.record.record import MEASURED
from runner.store.session_run import View

ORDER = ("started_ms", "cell_key", "code_key", "env_key", "host_id", SESSION, "run_id")
SCHEME = ("group_size", "sym", "desc_act", "double_quant")


@dataclass(frozen=True)
class Run:
    """A session as MLflow stores it. `run_id` is None for a record; a time is None if the run lacks it."""

    run_id: str | None
    started_ms: int | None
    finished_ms: int | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    def text(self, column: Text) -> str | None:
        word = (self.tags if column.kind == TAG else self.params).get(column.key, column.usual)
        return None if word in column.known else word


def run_of_view(view: View) -> Run:
    """Returns the run that a record would have in MLflow."""
    return Run(None, view.started_ms, view.finished_ms, view.params, view.metrics, view.tags)


def details_of(view: View) -> Details:
    return Details(view.params, view.series)


def frame(runs: Iterable[Run], needed: Sequence[str], left_out: Iterable[str] = (), **fields: Any) -> Frame:
    """Returns the frame of these sessions. `fields` are further fields of the frame, `left_out` faults of other
    things."""
    sessions = list(runs)

    def words_of(columns: Sequence[Text], rows: Sequence[int]) -> Mapping[int, Words]:
        return {row: {column.name: sessions[row].text(column) for column in columns} for row in rows}

    return frame_of_rows(_sessions(sessions, needed), words_of, left_out, **fields)


WordsOf = Callable[[Sequence[Text], Sequence[int]], Mapping[int, Words]]
"""Returns further columns of rows, given by their column `row`."""


def frame_of_rows(
    rows: polars.DataFrame,
    words_of: WordsOf,
    left_out: Iterable[str],
    notes: Iterable[str] = (),
    **fields: Any,
) -> Frame:
    """Returns the frame of rows with all requested columns, without sessions that cannot be used. Each session has one
    row. Sessions under a declared condition of the host stand apart."""
    usable_rows, rejected = usable.split(with_derived_columns(rows))
    cells, incomplete = usable.cells(usable_rows, lambda row_numbers: words_of(CELL_COLUMNS, row_numbers))
    complete = usable_rows.join(incomplete, on="row", how="anti", maintain_order="left")
    every, unlike, repeat_notes = repeated.unrepeated(complete, lambda row_numbers: words_of((DIGEST,), row_numbers))
    sessions, conditioned, condition_notes = unconditioned.split(_with_backend(every, words_of))
    environments = usable.words_by_key(every, "env_key", lambda row_numbers: words_of(ENVIRONMENT_COLUMNS, row_numbers))
    faults = usable.lines(polars.concat([rejected, incomplete.select("run_id", "fault"), unlike]))
    return Frame(
        sessions.drop("row"),
        {key: cell(words) for key, words in cells.items() if key in set(every["cell_key"])},
        environments,
        conditioned=_with_observations(conditioned, words_of).drop("row"),
        left_out=(*sorted(left_out), *faults),
        notes=(*notes, *condition_notes, *repeat_notes),
        **fields,
    )


def _with_backend(rows: polars.DataFrame, words_of: WordsOf) -> polars.DataFrame:
    """Returns the rows with the backend of attention that sessions of the same software used."""
    keyed = rows.with_columns(polars.concat_str(SOFTWARE, separator=" ").alias("software"))
    words = usable.words_by_key(keyed, "software", lambda row_numbers: words_of((BACKEND_COLUMN,), row_numbers))
    backends = {key: word[BACKEND] for key, word in words.items()}
    backend = polars.col("software").replace_strict(backends, default=None, return_dtype=polars.String)
    return keyed.with_columns(backend.alias(BACKEND)).drop("software")


def _with_observations(rows: polars.DataFrame, words_of: WordsOf) -> polars.DataFrame:
    """Returns sessions under a condition of the host with what they observed of it, as numbers."""
    words = words_of(CONDITION_COLUMNS, rows["row"].to_list())
    columns = {
        column.name: polars.Series([words[row][column.name] for row in rows["row"]], dtype=polars.String)
        for column in CONDITION_COLUMNS
    }
    return rows.with_columns(**{name: values.cast(polars.Float64, strict=False) for name, values in columns.items()})


def _sessions(runs: Sequence[Run], needed: Sequence[str]) -> polars.DataFrame:
    columns: dict[str, Any] = {
        "row": polars.Series(range(len(runs)), dtype=polars.UInt32),
        "run_id": polars.Series([run.run_id for run in runs], dtype=polars.String),
        "started_ms": polars.Series([run.started_ms for run in runs], dtype=polars.Int64),
        "finished_ms": polars.Series([run.finished_ms for run in runs], dtype=polars.Int64),
    }
    for column in (*session_columns(needed), *COUNT_COLUMNS):
        columns[column.name] = polars.Series([run.text(column) for run in runs], dtype=polars.String)
    for key, name in metric_names(needed).items():
        values = polars.Series([run.metrics.get(key) for run in runs], dtype=polars.Float64)
        columns[name] = values.fill_nan(None)
    return polars.DataFrame(columns)


def with_derived_columns(rows: polars.DataFrame) -> polars.DataFrame:
    """Returns the rows with derived columns in the form that tables use, in an order that does not depend on the
    source.

    The counts of `columns.COUNT_COLUMNS` are needed for custom protocols only.
    """
    named = {name: counts.title for name, counts in protocol.NAMED.items()}
    title = polars.col("protocol_name").replace_strict(named, default=None, return_dtype=polars.String)
    windows = polars.when(polars.col("windows") != "1").then(polars.concat_str("windows", polars.lit("x")))
    steps = polars.concat_str(windows.fill_null(""), "steps")
    custom = polars.concat_str("protocol_name", "warmup", steps, separator="-")
    derived = rows.with_columns(
        title.fill_null(custom).alias("protocol"), polars.col("valid") == "true", _flags().alias("flags")
    )
    quotients = [
        (polars.col(above) / polars.col(below)).alias(name)
        for name, (above, below) in QUOTIENTS.items()
        if {above, below} <= set(derived.columns)
    ]
    derived = derived.with_columns(quotients)
    order = [name for name in ORDER if name in derived.columns]
    return derived.drop("protocol_name", *(column.name for column in COUNT_COLUMNS)).sort(order, maintain_order=True)


def _flags() -> polars.Expr:
    """Returns an expression for a session's flags, with `gate-1` for measured sessions judged by the first gate
    version.

    Their records are older than that flag.
    """
    flags, is_first = polars.col("flags"), polars.col("gate_version") == "1"
    with_gate_1 = polars.concat_str(flags, polars.lit(f",{GATE_1}"))
    marked = polars.when(flags == "").then(polars.lit(GATE_1)).otherwise(with_gate_1)
    return polars.when(is_first & (polars.col("status") == MEASURED)).then(marked).otherwise(flags)


def cell(words: Mapping[str, str | None]) -> Cell:
    """Returns a cell's fields from its words in MLflow. `scheme` describes how packed weights are packed."""
    options = words["options"] or "none"
    scheme = [f"{name}:{words[name]}" for name in SCHEME if words[name] is not None]
    fields = {name: value for name, value in words.items() if name not in SCHEME}
    packed = {"options": "" if options == "none" else options, "scheme": ",".join(scheme)}
    return {**fields, "ctx": int(words["ctx"] or 0), **packed}
