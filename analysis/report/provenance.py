"""Where each number comes from: sessions, their runs in MLflow, code and environment of every row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars

from analysis.ab import Measured
from analysis.groups import KEYS
from analysis.sources.frame import Frame
from analysis.tables import floor
from analysis.tables.form import titles
from runner.cell import short_hash

Row = dict[str, Any]

GROUP = (*KEYS, "status", "valid")
SHOWN = 5
"""Of a group with more sessions only so many are named."""


@dataclass(frozen=True)
class Origin:
    """Of one row of the tables. `sessions` and `runs` are the first few of `count`, the first measured first; `ab_run`
    is the run of the A/B itself. There are no runs where the sessions come from records."""

    anchor: str
    name: str
    count: int
    sessions: tuple[str, ...]
    runs: tuple[str, ...]
    cell_keys: tuple[str, ...]
    code_keys: tuple[str, ...]
    env_keys: tuple[str, ...]
    protocol: str
    began: str
    ended: str
    ab_run: str | None = None


def anchor(row: Mapping[str, Any]) -> str:
    """What links a table's row to its origin; of an A/B's row, to that of the A/B."""
    return f"ab-{row['ab']}" if "ab" in row else f"group-{short_hash([row[key] for key in GROUP], 10)}"


def of_groups(frame: Frame, floors: Sequence[Row]) -> list[Origin]:
    """Of the groups of the floor table, in its order: every other table has a part of them."""
    found = {anchor(group): group for group in _grouped(frame).iter_rows(named=True)}
    names = titles(floors, floor.NAMED_FIELDS, floor.TELLING_FIELDS)
    return [_of_group(name, found[anchor(row)]) for name, row in zip(names, floors, strict=True)]


def _grouped(frame: Frame) -> polars.DataFrame:
    column = polars.col
    return frame.sessions.group_by(*GROUP, maintain_order=True).agg(
        polars.len().alias("count"),
        column("session").head(SHOWN).alias("sessions"),
        column("run_id").drop_nulls().head(SHOWN).alias("runs"),
        column("started_ms").min().alias("began"),
        column("finished_ms").max().alias("ended"),
    )


def _of_group(name: str, group: Row) -> Origin:
    return Origin(
        anchor=anchor(group),
        name=name,
        count=group["count"],
        sessions=tuple(group["sessions"]),
        runs=tuple(group["runs"]),
        cell_keys=_present([group["cell_key"]]),
        code_keys=_present([group["code_key"]]),
        env_keys=_present([group["env_key"]]),
        protocol=group["protocol"],
        began=day(group["began"]),
        ended=day(group["ended"]),
    )


def of_comparisons(compared: Iterable[Measured], rows: Iterable[Row], ab_runs: Mapping[str, str]) -> Iterator[Origin]:
    """Of the A/Bs of these rows; `ab_runs` as a frame has them."""
    by_id = {one.manifest.id: one for one in compared}
    for row in rows:
        yield _of_comparison(by_id[row["ab"]], row, ab_runs.get(row["ab"]))


def _of_comparison(measured: Measured, row: Row, ab_run: str | None) -> Origin:
    sessions = list(measured.sessions.values())
    began_ms, ended_ms = measured.period_ms
    return Origin(
        anchor=anchor(row),
        name=f"A/B {measured.manifest.id}: {measured.manifest.title}",
        count=len(sessions),
        sessions=tuple(one["session"] for one in sessions[:SHOWN]),
        runs=_present(one["run_id"] for one in sessions[:SHOWN]),
        cell_keys=_present(arm.cell_key for arm in measured.manifest.arms.values()),
        code_keys=_present(one["code_key"] for one in sessions),
        env_keys=_present(one["env_key"] for one in sessions),
        protocol=str(sessions[0]["protocol"]),
        began=day(began_ms),
        ended=day(ended_ms),
        ab_run=ab_run,
    )


def _present(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))


def day(ms: int) -> str:
    """The date of a moment in milliseconds since the epoch, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")
