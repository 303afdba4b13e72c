"""The origin of each number: sessions of every row with their MLflow runs or records, code and environment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars

from analysis.ab import Measured
from analysis.abrow import ABRow
from analysis.form import titles
from analysis.row import GROUP, TracedRow, ab_anchor
from analysis.sources.frame import Frame
from analysis.tables import floor
from analysis.tables._floorrow import FloorRow

SESSION_COLUMNS = (*("session", "run_id", "record"), *GROUP, *("host_id", "started_ms", "finished_ms"))
NAMED, FIRST = 2000, 5
"""Number of sessions up to which the page lists all of them, and else the number listed per row."""


Entry = tuple[str, str, Iterable[str]]
"""Anchor and name of an origin, and its sessions."""


@dataclass(frozen=True)
class Session:
    """A session. `where` is its run in MLflow or the file of its record."""

    id: str
    where: str | None

    @property
    def label(self) -> str:
        """Returns the id and `where`; a file name that contains the id stands alone."""
        if self.where is None:
            return self.id
        return self.where if self.id in self.where else f"{self.id} {self.where}"


@dataclass(frozen=True)
class Origin:
    """The origin of one row of the tables.

    `sessions` are all of `count` or the first few in order of measurement. `ab_run` is the MLflow run of the A/B
    itself.
    """

    anchor: str
    name: str
    count: int
    sessions: tuple[Session, ...]
    cell_keys: tuple[str, ...]
    code_keys: tuple[str, ...]
    env_keys: tuple[str, ...]
    protocol: str
    began: str
    ended: str
    ab_run: str | None = None


def sessions(
    frame: Frame,
    floors: Sequence[FloorRow],
    compared: Iterable[Measured],
    graphs: Iterable[ABRow],
    traced: Iterable[TracedRow],
) -> polars.DataFrame:
    """Returns one line per session and row: `row` (its anchor), `name`, and `SESSION_COLUMNS`.

    The rows are the groups of the floor table, the A/Bs of the graphs table, and each other origin that a traced row
    names: another A/B, or sessions that are no group.
    """
    files = polars.DataFrame(
        list(frame.record_files.items()), schema={"session": polars.String, "record": polars.String}, orient="row"
    )
    usual, every = (
        table.join(files, on="session", how="left", maintain_order="left").select(SESSION_COLUMNS)
        for table in (frame.sessions, frame.every)
    )
    titled = {each.manifest.id: each for each in compared}
    by_row = [_group_sessions(usual, floors), _listed_sessions(usual, _ab_entries(titled, graphs))]
    shown = {anchor for lines in by_row for anchor in lines["row"].unique()}
    return polars.concat([*by_row, _listed_sessions(every, _other_entries(titled, traced, shown))])


def _group_sessions(known: polars.DataFrame, floors: Sequence[FloorRow]) -> polars.DataFrame:
    names = titles(floors, floor.NAMED_FIELDS, floor.DISTINGUISHING_FIELDS)
    groups = polars.DataFrame(
        {
            "row": [row.anchor for row in floors],
            "name": names,
            **{key: [row.value(key) for row in floors] for key in GROUP},
        },
        schema={"row": polars.String, "name": polars.String, **{key: known.schema[key] for key in GROUP}},
    )
    # a session that failed has no code_key
    joined = groups.join(known, on=GROUP, nulls_equal=True, maintain_order="left_right")
    return joined.select("row", "name", *SESSION_COLUMNS)


def _ab_entries(compared: Mapping[str, Measured], graphs: Iterable[ABRow]) -> Iterator[Entry]:
    for row in graphs:
        yield row.anchor, _ab_name(compared[row.ab]), compared[row.ab].sessions


def _ab_name(measured: Measured) -> str:
    return f"A/B {measured.manifest.id}: {measured.manifest.title}"


def _other_entries(
    compared: Mapping[str, Measured], traced: Iterable[TracedRow], shown: Collection[str]
) -> Iterator[Entry]:
    """Yields the origins of rows that are not `shown` yet, each once."""
    names = {ab_anchor(name): _ab_name(measured) for name, measured in compared.items()}
    found = {anchor: (row.label, sessions) for row in traced for anchor, sessions in row.origins.items()}
    for anchor, (label, sessions) in found.items():
        if anchor not in shown:
            yield anchor, names.get(anchor, label), sessions


def _listed_sessions(known: polars.DataFrame, entries: Iterable[Entry]) -> polars.DataFrame:
    lines = [(anchor, name, session) for anchor, name, sessions in entries for session in sessions]
    listed = polars.DataFrame(lines, schema=dict.fromkeys(("row", "name", "session"), polars.String), orient="row")
    return listed.join(known, on="session", maintain_order="left").select("row", "name", *SESSION_COLUMNS)


def csv(lines: polars.DataFrame) -> str:
    """Returns `sessions` as CSV, with times in milliseconds since the epoch."""
    return lines.write_csv()


def origins(lines: polars.DataFrame, ab_runs: Mapping[str, str]) -> Iterator[Origin]:
    """Yields the origin of each row in `sessions`; `ab_runs` maps the id of an A/B to its run."""
    run_by_anchor = {ab_anchor(ab): run for ab, run in ab_runs.items()}
    limit = FIRST if is_too_long(lines) else len(lines)
    column = polars.col
    groups = lines.group_by("row", maintain_order=True).agg(
        column("name").first(),
        polars.len().alias("count"),
        column("session").head(limit).alias("sessions"),
        polars.coalesce("run_id", "record").head(limit).alias("wheres"),
        *(column(key).drop_nulls().unique(maintain_order=True) for key in ("cell_key", "code_key", "env_key")),
        column("protocol").first(),
        column("started_ms").min(),
        column("finished_ms").max(),
    )
    for group in groups.iter_rows(named=True):
        yield _origin(group, run_by_anchor.get(group["row"]))


def is_too_long(lines: polars.DataFrame) -> bool:
    """Returns whether there are more sessions than a page should list."""
    return len(lines) > NAMED


def _origin(group: Mapping[str, Any], ab_run: str | None) -> Origin:
    return Origin(
        anchor=group["row"],
        name=group["name"],
        count=group["count"],
        sessions=tuple(Session(*pair) for pair in zip(group["sessions"], group["wheres"], strict=True)),
        cell_keys=tuple(group["cell_key"]),
        code_keys=tuple(group["code_key"]),
        env_keys=tuple(group["env_key"]),
        protocol=group["protocol"],
        began=day(group["started_ms"]),
        ended=day(group["finished_ms"]),
        ab_run=ab_run,
    )


def day(ms: int) -> str:
    """Returns the UTC date (YYYY-MM-DD) of a time in milliseconds since the epoch."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")
