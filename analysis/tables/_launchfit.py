"""Lines through hosts, eager step against launches, and the launch overhead at which each reaches the paper's step.

One line has the sessions of our cell in the place of the paper's A/B alone, under any condition of the host; the other
has those of all cells.

The launches of a step are its kernels times the launch overhead of an empty kernel that the session's probe measured.
Sessions of one host share its processor and so its launch overhead and what else its steps take. They are no
independent points: a line through sessions would have far too many degrees of freedom (Moulton 1990). Each host is
therefore one point, the means of its sessions, and the intervals have Student's t at hosts - 2 degrees of freedom. For
few groups and a regressor that hardly differs within them this is the method of Donald and Lang (2007), exact for
normal effects of hosts with equally many sessions; cluster-robust variances need many groups (Cameron and Miller 2015).

The answer is given only if the line explains the hosts (`TELLING`), its slope is positive with its whole interval, and
the answer lies among the launches that were observed.

Moulton, Review of Economics and Statistics 72 (1990), 334-338. Donald and Lang, the same 89 (2007), 221-233. Cameron
and Miller, Journal of Human Resources 50 (2015), 317-372.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import polars

from analysis import paper
from analysis.group import Group
from analysis.prediction.fitting import HOST_PACED
from analysis.sources.columns import CONDITION, SESSION
from analysis.sources.frame import Frame
from analysis.statistics.linefit import FEWEST, Line, fitted
from analysis.tables._claimtests import CARDS
from analysis.tables._conditions import AS_IT_IS
from analysis.tables._differencerow import LaunchRow
from analysis.tables._graphsgain import EAGER
from analysis.tables._trace import of_sessions
from runner.counts import counted

TELLING = 0.5
"""Least share of the variance of the hosts' steps that the line must explain."""
YES = "yes"


@dataclass(frozen=True)
class Point:
    """An eager session that the host sets the pace of. Times are in ms."""

    step_ms: float
    kernels: float
    launch_us: float
    host_id: str | None
    condition: str
    session: str
    cell_key: str

    @property
    def launches_ms(self) -> float:
        """Returns the launches of a step at the overhead of the session's probe."""
        return self.kernels * self.launch_us / 1e3


def points(frame: Frame) -> list[Point]:
    """Returns the valid unquantised eager sessions of the cards whose step is paced by the host, on the host as it is
    and under a declared condition."""
    eager = [
        key
        for key, cell in frame.cells.items()
        if cell["gpu"] in CARDS and cell["runtime"] == EAGER and cell["quant"] == paper.UNQUANTISED
    ]
    column = polars.col
    sessions = frame.every.filter(
        column("valid") & column("cell_key").is_in(eager) & (column("protocol") == paper.PROTOCOL)
    ).drop_nulls(("step_busy_ms", "kernels_per_step", "launch_us"))
    return [_point(row) for row in sessions.iter_rows(named=True) if _is_paced_by_host(row)]


def _step_ms(row: Mapping[str, Any]) -> float:
    """Returns a session's step at context lengths that it has met before, which a static cache always has."""
    revisit_ms: float | None = row["step_wall_revisit_ms"]
    return float(row["step_wall_ms"]) if revisit_ms is None else revisit_ms


def _is_paced_by_host(row: Mapping[str, Any]) -> bool:
    return _step_ms(row) > HOST_PACED * float(row["step_busy_ms"])


def _point(row: Mapping[str, Any]) -> Point:
    return Point(
        step_ms=_step_ms(row),
        kernels=row["kernels_per_step"],
        launch_us=row["launch_us"],
        host_id=row["host_id"],
        condition=row.get(CONDITION) or AS_IT_IS,
        session=row[SESSION],
        cell_key=row["cell_key"],
    )


@dataclass(frozen=True)
class HostMean:
    """The means of a host's sessions, in ms."""

    launches_ms: float
    step_ms: float


def host_means(found: Iterable[Point]) -> list[HostMean]:
    """Returns the means of each host. Sessions that do not name their host count as those of one."""
    by_host: dict[str | None, list[Point]] = defaultdict(list)
    for point in found:
        by_host[point.host_id].append(point)
    return [
        HostMean(fmean(point.launches_ms for point in own), fmean(point.step_ms for point in own))
        for own in by_host.values()
    ]


def launch_rows(found: Sequence[Point], cell: Group | None) -> list[LaunchRow]:
    """Returns the line through the hosts of `cell`, our eager cell in the place of the paper's A/B, and the line
    through the hosts of all sessions."""
    every = launch_row("all cells", found, cell)
    if cell is None:
        return [every]
    own = [point for point in found if point.cell_key == cell.cell_key]
    return [launch_row(f"{cell.gpu} {cell.model} {cell.ctx}, {cell.cache} cache", own, cell), every]


def launch_row(scope: str, found: Sequence[Point], cell: Group | None) -> LaunchRow:
    """Returns the line through the hosts of these sessions."""
    hosts = host_means(found)
    launches = [host.launches_ms for host in hosts]
    line = fitted(launches, [host.step_ms for host in hosts])
    paper_ms = next(figure.a_ms for figure in paper.graphs_rows() if figure.a_ms is not None)
    kernels = None if cell is None else cell.kernels_per_step
    told = _told(line, paper_ms, kernels, launches)
    reached = None if line is None or told != YES else line.reaches(paper_ms)
    in_us = [None] * 3 if reached is None or kernels is None else [1e3 * ms / kernels for ms in reached]
    conditions = Counter(point.condition for point in found)
    return LaunchRow(
        scope=scope,
        sessions=len(found),
        hosts=len(hosts),
        conditions=", ".join(f"{name}: {count}" for name, count in sorted(conditions.items())),
        launches_low_ms=min(launches, default=None),
        launches_high_ms=max(launches, default=None),
        slope=None if line is None else line.slope,
        slope_low=None if line is None else line.low,
        slope_high=None if line is None else line.high,
        intercept_ms=None if line is None else line.intercept,
        residual_ms=None if line is None else line.residual,
        r2=None if line is None else line.r2,
        paper_ms=paper_ms,
        kernels_per_step=kernels,
        launch_us=in_us[0],
        launch_us_low=in_us[1],
        launch_us_high=in_us[2],
        told=told,
        origins=of_sessions(point.session for point in found),
    )


def _told(line: Line | None, paper_ms: float, kernels: float | None, launches: Sequence[float]) -> str:
    """Returns `yes`, or why the launch overhead of the paper's step cannot be told."""
    if len(launches) < FEWEST:
        hosts = counted(len(launches), "host")
        return f"cannot be told: {hosts} of at least {FEWEST}; sessions of one host share its launch overhead"
    if line is None:
        return "cannot be told: all hosts have the same launches"
    if kernels is None:
        return "cannot be told: no eager cell of ours in the place of the paper's A/B has its kernels counted"
    if line.low <= 0:
        return f"cannot be told: the slope's interval, {line.low:.2f} to {line.high:.2f}, does not lie above 0"
    if line.r2 < TELLING:
        explained = f"{line.r2:.2f} of the variance of the hosts' steps"
        return f"cannot be told: the line explains {explained}, less than {TELLING:g}"
    reached = line.reaches(paper_ms)
    assert reached is not None  # the slope's interval lies above 0
    if not min(launches) <= reached[0] <= max(launches):
        return (
            f"cannot be told: the line reaches {paper_ms:g} ms at launches of {reached[0]:.2f} ms, outside of the "
            f"observed {min(launches):.2f} to {max(launches):.2f} ms"
        )
    return YES
