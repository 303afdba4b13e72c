"""Whether our value reproduces a figure of the paper.

A figure is reproduced where ours is within `TOLERANCE` of it, or it lies in the interval of ours (95 %; 93.75 % at five
sessions) and that is no wider than `WIDEST` to either side: the range of a few sessions, or an interval that would hold
anything, reproduces nothing. Where it is not, the row has the likely reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from analysis.row import Row
from analysis.statistics import intervals
from analysis.tables import _reasons
from analysis.tables._reasons import Evidence

TOLERANCE, WIDEST = 0.05, 0.10
REPRODUCES, DIFFERS, NOT_MEASURED, FITS_HERE = "reproduces", "differs", "not measured", "fits here"


@dataclass(frozen=True)
class Spot:
    """Where a figure is of: a cell, a whole GPU, or all of the paper's cells."""

    gpu: str | None = None
    model: str | None = None
    ctx: int | None = None


@dataclass(frozen=True)
class CheckRow(Row):
    """A figure of the paper beside ours."""

    quantity: str
    """what the figure is, with its unit"""
    gpu: str | None
    model: str | None
    ctx: int | None
    paper: float | None
    """the paper's value"""
    ours: float | None
    """our value, None where it was not measured"""
    ours_low: float | None
    """ends of the interval of `ours` over sessions"""
    ours_high: float | None
    interval: str | None
    """`ci95`, `range` or `none`"""
    sessions: int | None
    """sessions that the medians are over"""
    difference: float | None
    """of ours from the paper's, relative to the paper's"""
    verdict: str
    reason: str | None
    """the likely reason of a difference"""


@dataclass(frozen=True)
class Ours:
    """Our value beside a figure, with its interval over sessions (see `intervals.session_interval`); `cell` is what may
    explain a difference, and a step slower than the paper's has the greater value where `grows`."""

    value: float
    low: float | None
    high: float | None
    interval: str
    sessions: int
    cell: Evidence | None
    grows: bool


def check(quantity: str, spot: Spot, value: float, ours: Ours | None) -> CheckRow:
    """Returns the row of a figure, with its verdict if there is a value of ours."""
    row = unjudged(quantity, spot, value, None if ours is None else ours.value)
    return row if ours is None else _judged(row, value, ours)


def unjudged(quantity: str, spot: Spot, value: float | None, ours: float | None) -> CheckRow:
    """Returns the row of a figure without a verdict."""
    return CheckRow(
        quantity=quantity,
        gpu=spot.gpu,
        model=spot.model,
        ctx=spot.ctx,
        paper=value,
        ours=ours,
        ours_low=None,
        ours_high=None,
        interval=None,
        sessions=None,
        difference=None if value is None or ours is None else ours / value - 1,
        verdict=NOT_MEASURED,
        reason=None,
    )


def _judged(row: CheckRow, value: float, ours: Ours) -> CheckRow:
    row = replace(row, ours_low=ours.low, ours_high=ours.high, interval=ours.interval, sessions=ours.sessions)
    difference = ours.value / value - 1
    within = ours.low is not None and ours.high is not None and ours.low <= value <= ours.high
    if abs(difference) <= TOLERANCE or (within and _is_narrow(ours)):
        return replace(row, verdict=REPRODUCES)
    if within:
        what = f"{ours.sessions} sessions" if ours.interval == intervals.RANGE else "the interval"
        reason = f"too scattered to say: {what} from {ours.low:.4g} to {ours.high:.4g}"
    else:
        reason = _reasons.likely(ours.cell, is_slower=(difference > 0) == ours.grows)
    return replace(row, verdict=DIFFERS, reason=reason)


def _is_narrow(ours: Ours) -> bool:
    ends = [abs(end / ours.value - 1) for end in (ours.low, ours.high) if end is not None]
    return ours.interval == intervals.CI95 and max(ends) <= WIDEST
