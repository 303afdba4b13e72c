"""Every table of a source, and changes of a store's tables as others may make them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from analysis import ab, form
from analysis.choose import recorded
from analysis.reading import Reading
from analysis.row import Row
from analysis.sources.frame import Source
from analysis.sources.store import Store
from analysis.tables import budget, choose, floor, graphs, papercheck, quant

TABLES: dict[str, Callable[[Source], Sequence[Row]]] = {
    "floor": lambda source: floor.rows(source.frame(floor.METRICS), every_code=True),
    "choose": lambda source: choose.rows(Reading(source.frame(recorded.METRICS), source)),
    "graphs": lambda source: graphs.rows(ab.from_frame(source.compared(ab.NEEDED))[0]),
    "quant": lambda source: quant.rows(source.frame(quant.METRICS)),
    "budget": lambda source: budget.rows(source.frame(budget.METRICS)),
    "paper": lambda source: papercheck.rows(source.frame(papercheck.NEEDED)),
}
NO_FILTERS: dict[str, str | None] = {"gpu": None, "model": None, "study": None}


def texts(source: Source) -> dict[str, str]:
    """Every table as JSON, to the byte."""
    return {name: form.json_text(rows(source)) for name, rows in TABLES.items()}


def copied(uri: str, folder: Path) -> str:
    """A copy of a store, to be changed."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as whole, sqlite3.connect(folder / "mlflow.db") as copy:
        whole.backup(copy)
    return f"sqlite:///{folder}/mlflow.db"


def valid_sessions(uri: str) -> int:
    """The number of sessions in the valid rows of the floor table."""
    return sum(row.sessions for row in floor.rows(Store(uri).frame(floor.METRICS), every_code=True) if row.valid)


CHANGES = {
    "a deleted run": "UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid IN (SELECT run_uuid FROM tags "
    "WHERE key = 'session' AND value = '0000000000000000')",
    "a deleted experiment": "UPDATE experiments SET lifecycle_stage = 'deleted'",
    "an edited tag": "UPDATE tags SET value = 'false' WHERE key = 'valid' AND run_uuid IN (SELECT run_uuid FROM tags "
    "WHERE key = 'session' AND value = '0000000000000000')",
    "a run not wholly there": "DELETE FROM tags WHERE key = 'decode_floor.committed' AND run_uuid IN (SELECT run_uuid "
    "FROM tags WHERE key = 'session' AND value = '0000000000000000')",
}
OF_FIRST = "run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'session' AND value = '0000000000000000')"
"""A session of the group of five with an interval."""
OF_GPTQ = OF_FIRST.replace("'0000000000000000'", "'000000000000000a'")
"""The only session of its cell."""
WALL_KEY = "key = 'latency/step_wall_ms'"


def left_out_of_all_tables(source: Source) -> tuple[str, ...]:
    """The fields that each table leaves out; rows are made of the rest."""
    frames = [source.frame(asked) for asked in (floor.METRICS, quant.METRICS, budget.METRICS, papercheck.NEEDED)]
    floor.rows(frames[0], every_code=True)
    quant.rows(frames[1])
    budget.rows(frames[2])
    papercheck.rows(frames[3])
    ab.from_frame(source.compared(ab.NEEDED))
    lines = {frame.left_out for frame in frames}
    assert len(lines) == 1
    return lines.pop()
