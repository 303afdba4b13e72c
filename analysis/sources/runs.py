"""A frame from whole runs, one at a time: of records, and of stores that cannot be asked for columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars

from analysis.sources import repeated, usable
from analysis.sources.columns import (
    CELL_COLUMNS,
    COUNT_COLUMNS,
    DIGEST,
    ENVIRONMENT_COLUMNS,
    QUOTIENTS,
    SESSION,
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
    """A session as MLflow shows it; `run_id` is None where it comes from a record, a time where the run has none."""

    run_id: str | None
    started_ms: int | None
    finished_ms: int | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    def text(self, column: Text) -> str | None:
        word = (self.tags if column.kind == TAG else self.params).get(column.key, column.usual)
        return None if word in column.known else word


def of_view(view: View) -> Run:
    """The run that a record would be."""
    return Run(None, view.started_ms, view.finished_ms, view.params, view.metrics, view.tags)


def details_of(view: View) -> Details:
    return Details(view.params, view.series)


def frame(runs: Iterable[Run], asked: Sequence[str], left_out: Iterable[str] = (), **told: Any) -> Frame:
    """The frame of these sessions; `told` are its other fields, `left_out` what is wrong beside sessions."""
    found = list(runs)

    def words_of(columns: Sequence[Text], rows: Sequence[int]) -> Mapping[int, Words]:
        return {row: {each.name: found[row].text(each) for each in columns} for row in rows}

    return whole(_sessions(found, asked), words_of, left_out, **told)


def whole(
    rows: polars.DataFrame,
    words_of: Callable[[Sequence[Text], Sequence[int]], Mapping[int, Words]],
    left_out: Iterable[str],
    notes: Iterable[str] = (),
    **told: Any,
) -> Frame:
    """The frame of rows with all columns that were read, less the sessions that cannot be used; `words_of` gives what
    the runs of some of them (by their column `row`) say of other columns. A session has one row, however many runs."""
    kept, wrong = usable.sorted_out(finished(rows))
    cells, untold = usable.cells(kept, lambda some: words_of(CELL_COLUMNS, some))
    told_whole = kept.join(untold, on="row", how="anti", maintain_order="left")
    sessions, unlike, twice = repeated.once(told_whole, lambda some: words_of((DIGEST,), some))
    environments = usable.told(sessions, "env_key", lambda some: words_of(ENVIRONMENT_COLUMNS, some))
    faults = usable.lines(polars.concat([wrong, untold.select("run_id", "fault"), unlike]))
    return Frame(
        sessions.drop("row"),
        {key: cell(words) for key, words in cells.items()},
        environments,
        left_out=(*sorted(left_out), *faults),
        notes=(*notes, *twice),
        **told,
    )


def _sessions(found: Sequence[Run], asked: Sequence[str]) -> polars.DataFrame:
    columns: dict[str, Any] = {
        "row": polars.Series(range(len(found)), dtype=polars.UInt32),
        "run_id": polars.Series([run.run_id for run in found], dtype=polars.String),
        "started_ms": polars.Series([run.started_ms for run in found], dtype=polars.Int64),
        "finished_ms": polars.Series([run.finished_ms for run in found], dtype=polars.Int64),
    }
    for column in (*session_columns(asked), *COUNT_COLUMNS):
        columns[column.name] = polars.Series([run.text(column) for run in found], dtype=polars.String)
    for key, name in metric_names(asked).items():
        values = polars.Series([run.metrics.get(key) for run in found], dtype=polars.Float64)
        columns[name] = values.fill_nan(None)
    return polars.DataFrame(columns)


def finished(rows: polars.DataFrame) -> polars.DataFrame:
    """What the text columns say, in the form that tables use; in an order that is the same from every source. The
    counts of `columns.COUNT_COLUMNS` are needed of custom protocols only."""
    named = {name: f"{name}-{counts.warmup}-{counts.steps}" for name, counts in protocol.NAMED.items()}
    title = polars.col("protocol_name").replace_strict(named, default=None, return_dtype=polars.String)
    custom = polars.concat_str("protocol_name", "warmup", "steps", separator="-")
    told = rows.with_columns(
        title.fill_null(custom).alias("protocol"), polars.col("valid") == "true", _flags().alias("flags")
    )
    quotients = [
        (polars.col(above) / polars.col(below)).alias(name)
        for name, (above, below) in QUOTIENTS.items()
        if {above, below} <= set(told.columns)
    ]
    told = told.with_columns(quotients)
    order = [name for name in ORDER if name in told.columns]
    return told.drop("protocol_name", "warmup", "steps").sort(order, maintain_order=True)


def _flags() -> polars.Expr:
    """The flags that a session has, and of a measured one whether the first version of the gate judged it: its record
    was made before there was a flag for that."""
    flags, is_first = polars.col("flags"), polars.col("gate_version") == "1"
    more = polars.concat_str(flags, polars.lit(f",{GATE_1}"))
    marked = polars.when(flags == "").then(polars.lit(GATE_1)).otherwise(more)
    return polars.when(is_first & (polars.col("status") == MEASURED)).then(marked).otherwise(flags)


def cell(words: Mapping[str, str | None]) -> Cell:
    """A cell's fields, of the words that MLflow has of them; `scheme` says how packed weights are packed."""
    options = words["options"] or "none"
    scheme = [f"{name}:{words[name]}" for name in SCHEME if words[name] is not None]
    fields = {name: value for name, value in words.items() if name not in SCHEME}
    packed = {"options": "" if options == "none" else options, "scheme": ",".join(scheme)}
    return {**fields, "ctx": int(words["ctx"] or 0), **packed}
