"""Records and rows of the quantisation table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from analysis.tables import quant
from analysis.tables._quantrows import AnyRow
from tests.support.frames import frame_of
from tests.support.records import example_record, fp16_gate

Record = dict[str, Any]


def rows_of(records: Iterable[Record]) -> list[AnyRow]:
    """The rows of the quantisation table for these records."""
    return quant.rows(frame_of(records))


def fp16_baseline(step_ms: float = 36.0, **changes: Any) -> Record:
    """An unquantised session in float16, with these changes of its cell."""
    gate = fp16_gate()
    return example_record(step_ms=step_ms, cell={"dtype": "fp16", **changes}, gate=gate)


def by_quant(table: Iterable[AnyRow]) -> dict[tuple[str, ...], AnyRow]:
    """The measured rows by format and dtype."""
    return {(row.quant, row.dtype): row for row in table if row.source == "measured"}


def rows_by(table: Iterable[AnyRow]) -> dict[tuple[str, ...], AnyRow]:
    """The measured rows by format, runtime and dtype."""
    return {(row.quant, row.runtime, row.dtype): row for row in table if row.source == "measured"}


def graph_of(found: Record) -> Record:
    """The same session as if its step had been captured."""
    found["cell"]["runtime"] = "graph"
    found["actual"] |= {"runtime": "graph", "graph_mode": "whole-step"}
    found["keys"]["cell_key"] = f"graph-{found['cell']['dtype']}"
    return found


def on_host(found: Record, host: str) -> Record:
    """The same session on a host whose id repeats this letter."""
    found["keys"]["host_id"] = host * 12
    return found
