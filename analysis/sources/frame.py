"""The frame: one row a session, the cells they measured, and the A/Bs that sessions belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import polars

from runner.ab.beside import Beside
from runner.ab.facts import Facts
from runner.ab.manifest import Manifest
from runner.cell.jsonform import to_json

Cell = Mapping[str, Any]
Params = Mapping[str, str]


@dataclass(frozen=True)
class Frame:
    """`sessions` has one row a session, with the text columns of `columns.SESSION_COLUMNS` (of the optional ones those
    asked for), `valid` as a truth value, `protocol` (such as `paper-5-30`), `started_ms`, `finished_ms`, `run_id` (None
    from records) and the metrics asked for, in the order of time.

    `cells` maps a cell_key to the cell's fields, `environments` an env_key to the versions of what is in it.
    `manifests` are the A/Bs', `ab_runs` maps an A/B's id to its run in MLflow (empty from records), `beside` to what
    lies in its folder and in none of its blocks; `facts` maps a session of an A/B to what its record tells,
    `record_files` any to its record's file, relative to the folder (these three are empty from a store).
    `left_out` has a line for each thing that is wrong and could not be used, `notes` for what a reader of the table
    should know of its source.
    """

    sessions: polars.DataFrame
    cells: Mapping[str, Cell]
    environments: Mapping[str, Mapping[str, str | None]]
    manifests: tuple[Manifest, ...] = ()
    ab_runs: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    record_files: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, Beside] = field(default_factory=dict)
    facts: Mapping[str, Facts] = field(default_factory=dict)

    def where(self, **wanted: str | None) -> Frame:
        """What has these values of gpu, model and study; None is any."""
        chosen = {name: value for name, value in wanted.items() if value is not None}
        of_cell = {name: value for name, value in chosen.items() if name != "study"}

        def fits(cell: Cell) -> bool:
            return all(str(cell[name]) == value for name, value in of_cell.items())

        cells = {key: cell for key, cell in self.cells.items() if fits(cell)}
        kept = self.sessions.filter(polars.col("cell_key").is_in(list(cells)))
        manifests = [one for one in self.manifests if all(fits(to_json(arm.cell)) for arm in one.arms.values())]
        if "study" in chosen:
            kept = kept.filter(polars.col("study") == chosen["study"])
            manifests = [one for one in manifests if one.study == chosen["study"]]
        return replace(self, sessions=kept, cells=cells, manifests=tuple(manifests))


@dataclass(frozen=True)
class Details:
    """What only a report shows of a session: params as in MLflow, and every timed step in ms."""

    params: Params
    steps_ms: tuple[float, ...]


def in_order(manifests: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """A/Bs in an order that is the same from every source."""
    return tuple(sorted(manifests, key=lambda one: (one.title, one.id)))


def told_of_abs(by_run: Mapping[str, Manifest]) -> dict[str, Any]:
    """The frame's fields of A/Bs, of manifests by run. Of one that is in several runs the longest is taken."""
    own: dict[str, str] = {}
    for run_id in sorted(by_run):
        known = own.setdefault(by_run[run_id].id, run_id)
        if by_run[run_id].done > by_run[known].done:
            own[by_run[run_id].id] = run_id
    return {"manifests": in_order(by_run[run_id] for run_id in own.values()), "ab_runs": own}


def run_ids(frame: Frame) -> dict[str, str]:
    """Session → its run."""
    return dict(frame.sessions.select("session", "run_id").iter_rows())


def sessions_of(manifests: Iterable[Manifest]) -> set[str]:
    """The sessions that A/Bs name, used or not: why one is not used is for its own run to say."""
    return {entry.session for one in manifests for entry in one.sessions}


class Source(Protocol):
    """Record files or a store."""

    @property
    def shown(self) -> str:
        """Its name for a person, without passwords."""
        ...

    def frame(self, asked: Sequence[str]) -> Frame:
        """All sessions with these metrics (names of `columns.METRIC_NAMES`) and optional columns.

        Raises BadRecord where there is none, StoreUnreachable where the store does not answer.
        """
        ...

    def compared(self, asked: Sequence[str]) -> Frame:
        """The A/Bs and (at least) their sessions, in the same form, with the same notes on other runs. Raises as
        `frame`."""
        ...

    def details(self, sessions: Sequence[str]) -> dict[str, Details]:
        """Of these sessions, by id; the last frame had them in its column `session`."""
        ...
