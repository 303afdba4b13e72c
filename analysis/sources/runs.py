"""A frame from whole runs, one at a time: of records, and of stores that cannot be asked for columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars

from analysis.sources.columns import CELL_COLUMNS, ENVIRONMENT_COLUMNS, METRIC_NAMES, SESSION_COLUMNS, TAG, Text
from analysis.sources.frame import Cell, Details, Frame
from runner.store.view import SESSION_TAG, View

SCHEME = ("group_size", "sym", "desc_act", "double_quant")


@dataclass(frozen=True)
class Run:
    """A session as MLflow shows it; `run_id` is None where it comes from a record."""

    run_id: str | None
    started_ms: int
    finished_ms: int
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    def text(self, column: Text) -> str | None:
        return (self.tags if column.kind == TAG else self.params).get(column.key, column.usual)


def of_view(view: View) -> Run:
    """The run that a record would be."""
    return Run(None, view.started_ms, view.finished_ms, view.params, view.metrics, view.tags)


def details_of(view: View) -> Details:
    return Details(view.params, view.series)


def frame(runs: Iterable[Run], metrics: Sequence[str], **told: Any) -> Frame:
    """The frame of these sessions; `told` are its other fields."""
    found = list(runs)
    rows = _sessions(found, metrics)
    by_id = {run.tags[SESSION_TAG]: run for run in found}

    def words(key: str, columns: Sequence[Text]) -> dict[str, dict[str, str | None]]:
        return {
            value: {each.name: by_id[session].text(each) for each in columns} for value, session in first_of(rows, key)
        }

    cells = {key: cell(of_cell) for key, of_cell in words("cell_key", CELL_COLUMNS).items()}
    return Frame(rows, cells, words("env_key", ENVIRONMENT_COLUMNS), **told)


def first_of(rows: polars.DataFrame, key: str, told: str = "session") -> Iterator[tuple[str, str]]:
    """(value, `told` of the first session that has it) for each value of a key column."""
    yield from rows.drop_nulls(key).unique(key, keep="first", maintain_order=True).select(key, told).iter_rows()


def _sessions(found: Sequence[Run], metrics: Sequence[str]) -> polars.DataFrame:
    columns: dict[str, Any] = {
        "run_id": polars.Series([run.run_id for run in found], dtype=polars.String),
        "started_ms": polars.Series([run.started_ms for run in found], dtype=polars.Int64),
        "finished_ms": polars.Series([run.finished_ms for run in found], dtype=polars.Int64),
    }
    for column in SESSION_COLUMNS:
        columns[column.name] = polars.Series([run.text(column) for run in found], dtype=polars.String)
    for name in metrics:
        values = [run.metrics.get(METRIC_NAMES[name]) for run in found]
        columns[name] = polars.Series(values, dtype=polars.Float64)
    return finished(polars.DataFrame(columns))


def finished(rows: polars.DataFrame) -> polars.DataFrame:
    """What the text columns say, in the form that tables use; in an order that is the same from every source."""
    protocol = polars.concat_str("protocol_name", "warmup", "steps", separator="-").alias("protocol")
    told = rows.with_columns(protocol, polars.col("valid") == "true")
    return told.drop("protocol_name", "warmup", "steps").sort("started_ms", "session")


def cell(words: Mapping[str, str | None]) -> Cell:
    """A cell's fields, of the words that MLflow has of them; `scheme` says how packed weights are packed."""
    options = words["options"] or "none"
    scheme = [f"{name}:{words[name]}" for name in SCHEME if words[name] is not None]
    fields = {name: value for name, value in words.items() if name not in SCHEME}
    packed = {"options": "" if options == "none" else options, "scheme": ",".join(scheme)}
    return {**fields, "ctx": int(words["ctx"] or 0), **packed}
