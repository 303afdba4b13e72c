"""Steps under a declared condition of the host, beside the steps of the same cell on the same host as it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import polars

from analysis import groups
from analysis.group import Group
from analysis.sources.columns import CONDITION, SESSION
from analysis.sources.frame import Frame
from analysis.statistics import savings
from analysis.statistics.savings import Saving
from analysis.tables._baselines import Walls
from analysis.tables._differencerow import ConditionRow
from analysis.tables._trace import Traces, of_sessions

AS_IT_IS = "as it is"
ALIKE = ("cell_key", "protocol", "env_key")
"""Keys that sessions under a condition share with those on the host as it is. Their code differs, since it also brings
the condition about."""
KIND = (*ALIKE, CONDITION)
MEASURED = ("step_busy_ms", "kernels_per_step", "launch_us")
Sessions = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class _Under:
    """The newest sessions of a cell under one condition."""

    condition: str
    sessions: Sessions

    def median(self, name: str) -> float | None:
        """Returns the median of a metric over the sessions that have it."""
        values = [session[name] for session in self.sessions if session[name] is not None]
        return median(values) if values else None

    @property
    def walls(self) -> dict[str, list[float]]:
        """Returns the steps by host."""
        found: dict[str, list[float]] = defaultdict(list)
        for session in self.sessions:
            found[session["host_id"]].append(session["step_wall_ms"])
        return found


def condition_rows(frame: Frame, usual: Sequence[Group], traces: Traces) -> list[ConditionRow]:
    """Returns the rows of each cell that has sessions under a condition: on the host as it is, then each condition.

    `usual` are the valid groups on the host as it is.
    """
    walls = groups.walls_of_hosts(frame)
    newest = {tuple(getattr(group, name) for name in ALIKE): group for group in _in_time(usual)}
    rows: list[ConditionRow] = []
    for key, conditions in _by_cell(frame).items():
        cell, group = frame.cells[str(key[0])], newest.get(key)
        rows += [] if group is None else [_usual_row(group, traces)]
        rows += [_row(cell, under, group, walls) for under in conditions]
    return rows


def _in_time(usual: Sequence[Group]) -> list[Group]:
    return sorted(usual, key=lambda group: group.last_start_ms)


def _by_cell(frame: Frame) -> dict[tuple[Any, ...], list[_Under]]:
    """Returns the valid sessions under conditions by the values of `ALIKE`, of the newest code of each condition."""
    found: dict[tuple[Any, ...], list[_Under]] = defaultdict(list)
    if frame.conditioned.is_empty():
        return found
    measured = frame.conditioned.filter(polars.col("valid") & polars.col("step_wall_ms").is_not_null())
    for kind, table in measured.group_by(*KIND, maintain_order=True):
        sessions = table.to_dicts()  # in order of time
        of_newest = [each for each in sessions if each["code_key"] == sessions[-1]["code_key"]]
        found[kind[:-1]].append(_Under(str(kind[-1]), of_newest))
    return {key: sorted(found[key], key=lambda under: under.condition) for key in sorted(found, key=_place(frame))}


def _place(frame: Frame) -> Any:
    fields = ("gpu", "model", "ctx", "runtime", "cache", "options")
    return lambda key: (*(frame.cells[key[0]][name] for name in fields), *key)


def _usual_row(group: Group, traces: Traces) -> ConditionRow:
    return ConditionRow(
        **{name: getattr(group, name) for name in ("gpu", "model", "ctx", "runtime", "cache", "options")},
        condition=AS_IT_IS,
        sessions=group.sessions,
        hosts=len(group.hosts),
        step_wall_ms=group.wall_ms,
        step_wall_ms_least=group.step_wall_ms_least,
        step_wall_ms_most=group.step_wall_ms_most,
        ratio=None,
        ratio_low=None,
        ratio_high=None,
        kernels_ms=group.step_busy_ms,
        kernels_per_step=group.kernels_per_step,
        launch_us=group.launch_us,
        allowed_cores=None,
        cores=None,
        neighbours=None,
        neighbour_cores=None,
        flags=group.flags,
        origins=traces.of_group(group),
    )


def _row(cell: Mapping[str, Any], under: _Under, usual: Group | None, walls: Walls) -> ConditionRow:
    ratio = None if usual is None else _ratio(under.walls, walls.get(usual.key, {}))
    steps = [session["step_wall_ms"] for session in under.sessions]
    busy_ms, kernels, launch_us = (under.median(name) for name in MEASURED)
    return ConditionRow(
        **{name: cell[name] for name in ("gpu", "model", "ctx", "runtime", "cache", "options")},
        condition=under.condition,
        sessions=len(steps),
        hosts=len(under.walls),
        step_wall_ms=median(steps),
        step_wall_ms_least=min(steps),
        step_wall_ms_most=max(steps),
        ratio=None if ratio is None else ratio.ratio,
        ratio_low=None if ratio is None else ratio.low,
        ratio_high=None if ratio is None else ratio.high,
        kernels_ms=busy_ms,
        kernels_per_step=kernels,
        launch_us=launch_us,
        allowed_cores=under.median("allowed_cores"),
        cores=under.median("cores"),
        neighbours=under.median("neighbours"),
        neighbour_cores=under.median("neighbour_cores"),
        flags=groups.flags([session["flags"] for session in under.sessions], [*under.walls]),
        origins=of_sessions(session[SESSION] for session in under.sessions),
    )


def _ratio(under: Mapping[str, Sequence[float]], usual: Mapping[str, Sequence[float]]) -> Saving | None:
    """Returns the step under a condition over that on the same hosts as they are, None without a common host."""
    common = sorted(under.keys() & usual.keys())
    return savings.within_hosts([(under[host], usual[host]) for host in common]) if common else None
