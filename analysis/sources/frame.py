"""The frame: one row per session, the measured cells, and the A/Bs of these sessions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import polars

from analysis.sources.columns import WINDOWS_PARAM
from runner.ab.beside import OtherSessions
from runner.ab.facts import Facts
from runner.ab.manifest import Manifest
from runner.cell.jsonform import to_json

Cell = Mapping[str, Any]
Params = Mapping[str, str]


@dataclass(frozen=True)
class Frame:
    """Sessions of a source with their cells, environments and A/Bs.

    `sessions` has one row per session in order of time. Its columns are the text columns of `columns.SESSION_COLUMNS`
    (optional ones on request), `valid` as a boolean, `protocol` (such as `paper-5-30`), `started_ms`, `finished_ms`,
    `run_id` (None from records), `attention_backend` and the requested metrics.

    `cells` maps a cell_key to the cell's fields, `environments` an env_key to its versions. `manifests` are those of
    the A/Bs. `ab_runs` maps the id of an A/B to its run in MLflow (empty from records).

    From a store, these three are empty: `beside` maps the id of an A/B to the files of its folder that are in no block,
    `facts` maps a session of an A/B to the facts of its record, and `record_files` maps a session to its record's file,
    relative to the folder.

    `conditioned` has the sessions under a declared condition of the host, with the same columns, `host_condition` and
    those of `columns.CONDITION_COLUMNS`.

    `left_out` has a line for each thing that could not be used, `notes` a line for each thing that a reader should know
    about the source.
    """

    sessions: polars.DataFrame
    cells: Mapping[str, Cell]
    environments: Mapping[str, Mapping[str, str | None]]
    manifests: tuple[Manifest, ...] = ()
    ab_runs: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    record_files: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, OtherSessions] = field(default_factory=dict)
    facts: Mapping[str, Facts] = field(default_factory=dict)
    conditioned: polars.DataFrame = field(default_factory=polars.DataFrame)

    @property
    def every(self) -> polars.DataFrame:
        """Returns all sessions, those under a declared condition of the host last. A column that only these have is
        null for the others."""
        return polars.concat([self.sessions, self.conditioned], how="diagonal")

    def where(self, **criteria: str | None) -> Frame:
        """Returns the part of the frame with these values of gpu, model and study; None matches any value. An A/B is
        kept if both arms match."""
        chosen = {name: value for name, value in criteria.items() if value is not None}
        cell_values = {name: value for name, value in chosen.items() if name != "study"}

        def fits(cell: Cell) -> bool:
            return all(str(cell[name]) == value for name, value in cell_values.items())

        cells = {key: cell for key, cell in self.cells.items() if fits(cell)}
        sessions, conditioned = (
            table if table.is_empty() else table.filter(polars.col("cell_key").is_in(list(cells)))
            for table in (self.sessions, self.conditioned)
        )
        manifests = [
            manifest for manifest in self.manifests if all(fits(to_json(arm.cell)) for arm in manifest.arms.values())
        ]
        if "study" in chosen:
            sessions, conditioned = (
                table if table.is_empty() else table.filter(polars.col("study") == chosen["study"])
                for table in (sessions, conditioned)
            )
            manifests = [manifest for manifest in manifests if manifest.study == chosen["study"]]
        return replace(self, sessions=sessions, conditioned=conditioned, cells=cells, manifests=tuple(manifests))


@dataclass(frozen=True)
class Details:
    """Details of a session that only a report shows: its params in MLflow, and every timed step in ms."""

    params: Params
    steps_ms: tuple[float, ...]

    @property
    def windows_ms(self) -> tuple[tuple[float, ...], ...]:
        """Returns the steps of each window of the wall pass, which all have the same number of steps."""
        size = len(self.steps_ms) // int(self.params.get(WINDOWS_PARAM, "1")) or 1
        return tuple(self.steps_ms[start : start + size] for start in range(0, len(self.steps_ms), size))


def in_order(manifests: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """Returns A/Bs in an order that does not depend on the source."""
    return tuple(sorted(manifests, key=lambda manifest: (manifest.title, manifest.id)))


def ab_fields(by_run: Mapping[str, Manifest]) -> dict[str, Any]:
    """Returns the frame's fields for A/Bs, from manifests by run. For an A/B with several runs, the longest manifest
    counts."""
    chosen: dict[str, str] = {}
    for run_id in sorted(by_run):
        known = chosen.setdefault(by_run[run_id].id, run_id)
        if by_run[run_id].done > by_run[known].done:
            chosen[by_run[run_id].id] = run_id
    return {"manifests": in_order(by_run[run_id] for run_id in chosen.values()), "ab_runs": chosen}


def run_ids(frame: Frame) -> dict[str, str]:
    """Returns the run of each session."""
    return dict(frame.sessions.select("session", "run_id").iter_rows())


def sessions_of(manifests: Iterable[Manifest]) -> set[str]:
    """Returns the sessions that A/Bs name, used or not."""
    return {entry.session for manifest in manifests for entry in manifest.sessions}


class Source(Protocol):
    """A source of sessions: record files or a store."""

    @property
    def label(self) -> str:
        """Returns the source's display name, without passwords."""
        ...

    def frame(self, needed: Sequence[str]) -> Frame:
        """Returns all sessions with these metrics (names of `columns.METRIC_NAMES`) and optional columns.

        Raises BadRecord if there is no session, StoreUnreachable if the store does not respond.
        """
        ...

    def compared(self, needed: Sequence[str]) -> Frame:
        """Returns as `frame` does, for A/Bs: sessions that belong to no A/B may be missing."""
        ...

    def details(self, sessions: Sequence[str]) -> dict[str, Details]:
        """Returns details of these sessions by id. The sessions must be in the last frame."""
        ...
