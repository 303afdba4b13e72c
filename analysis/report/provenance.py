"""Where each number comes from: sessions, their runs in MLflow or their records, code and environment of every row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars

from analysis.ab import Measured
from analysis.abrow import ABRow
from analysis.form import titles
from analysis.row import GROUP, ab_anchor
from analysis.sources.frame import Frame
from analysis.tables import floor
from analysis.tables._floorrow import FloorRow

OF_A_SESSION = (*("session", "run_id", "record"), *GROUP, *("host_id", "started_ms", "finished_ms"))
NAMED, FIRST = 2000, 5
"""So many sessions are named on the page itself; where there are more, the first of each row."""


@dataclass(frozen=True)
class Session:
    """`where` is its run in MLflow or the file of its record."""

    id: str
    where: str | None

    @property
    def told(self) -> str:
        """Both; a record's file most often has the session's id in its name."""
        if self.where is None:
            return self.id
        return self.where if self.id in self.where else f"{self.id} {self.where}"


@dataclass(frozen=True)
class Origin:
    """The origin of one row of the tables. `sessions` are all of `count` or the first few, the first measured first;
    `ab_run` is the run of the A/B itself."""

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
    frame: Frame, floors: Sequence[FloorRow], compared: Iterable[Measured], graphs: Iterable[ABRow]
) -> polars.DataFrame:
    """Returns a line for each session of each row: `row` (its anchor), `name`, and the columns of `OF_A_SESSION`. The
    rows are the groups of the floor table, of which every other table has a part, and the A/Bs of the graphs table."""
    files = polars.DataFrame(
        list(frame.record_files.items()), schema={"session": polars.String, "record": polars.String}, orient="row"
    )
    known = frame.sessions.join(files, on="session", how="left", maintain_order="left").select(OF_A_SESSION)
    return polars.concat([_of_groups(known, floors), _of_comparisons(known, compared, graphs)])


def _of_groups(known: polars.DataFrame, floors: Sequence[FloorRow]) -> polars.DataFrame:
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
    found = groups.join(known, on=GROUP, nulls_equal=True, maintain_order="left_right")
    return found.select("row", "name", *OF_A_SESSION)


def _of_comparisons(known: polars.DataFrame, compared: Iterable[Measured], graphs: Iterable[ABRow]) -> polars.DataFrame:
    by_id = {one.manifest.id: one for one in compared}
    entries = [
        (row.anchor, f"A/B {row.ab}: {by_id[row.ab].manifest.title}", session)
        for row in graphs
        for session in by_id[row.ab].sessions
    ]
    of_abs = polars.DataFrame(entries, schema=dict.fromkeys(("row", "name", "session"), polars.String), orient="row")
    return of_abs.join(known, on="session", maintain_order="left").select("row", "name", *OF_A_SESSION)


def csv(found: polars.DataFrame) -> str:
    """Returns the lines of `sessions` as a file; times in milliseconds since the epoch."""
    return found.write_csv()


def origins(found: polars.DataFrame, ab_runs: Mapping[str, str]) -> Iterator[Origin]:
    """Yields the origin of each row in `sessions`; `ab_runs` as a frame has them."""
    own_runs = {ab_anchor(ab): run for ab, run in ab_runs.items()}
    shown = FIRST if is_too_long(found) else len(found)
    column = polars.col
    groups = found.group_by("row", maintain_order=True).agg(
        column("name").first(),
        polars.len().alias("count"),
        column("session").head(shown).alias("sessions"),
        polars.coalesce("run_id", "record").head(shown).alias("wheres"),
        *(column(key).drop_nulls().unique(maintain_order=True) for key in ("cell_key", "code_key", "env_key")),
        column("protocol").first(),
        column("started_ms").min(),
        column("finished_ms").max(),
    )
    for group in groups.iter_rows(named=True):
        yield _origin(group, own_runs.get(group["row"]))


def is_too_long(found: polars.DataFrame) -> bool:
    """True if there are more sessions than a page should name."""
    return len(found) > NAMED


def _origin(group: Mapping[str, Any], ab_run: str | None) -> Origin:
    return Origin(
        anchor=group["row"],
        name=group["name"],
        count=group["count"],
        sessions=tuple(Session(*each) for each in zip(group["sessions"], group["wheres"], strict=True)),
        cell_keys=tuple(group["cell_key"]),
        code_keys=tuple(group["code_key"]),
        env_keys=tuple(group["env_key"]),
        protocol=group["protocol"],
        began=day(group["started_ms"]),
        ended=day(group["finished_ms"]),
        ab_run=ab_run,
    )


def day(ms: int) -> str:
    """Returns the date of a moment in milliseconds since the epoch, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")
