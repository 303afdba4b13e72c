"""Verdicts: whether our value reproduces a figure of the paper.

A figure is reproduced if our value is within `TOLERANCE` of it. It is also reproduced if it lies in our confidence
interval (95 %; 93.75 % at five sessions) and that interval is at most `WIDEST` to either side. The range of a few
sessions, or a very wide interval, reproduces nothing. Otherwise the row has the likely reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from analysis.row import Row
from analysis.statistics import intervals
from analysis.tables import _reasons
from analysis.tables._reasons import Evidence
from runner.counts import counted

TOLERANCE, WIDEST = 0.05, 0.10
REPRODUCES, DIFFERS, NOT_MEASURED, FITS_HERE = "reproduces", "differs", "not measured", "fits here"
COUNTED = {
    REPRODUCES: ("is reproduced", "are reproduced"),
    DIFFERS: ("differs", "differ"),
    FITS_HERE: ("fits here", "fit here"),
    NOT_MEASURED: ("was not measured", "were not measured"),
}
"""Verdicts with their words for one figure and for several."""


@dataclass(frozen=True)
class Spot:
    """The scope of a figure: a cell, a GPU, or all cells of the paper."""

    gpu: str | None = None
    model: str | None = None
    ctx: int | None = None


@dataclass(frozen=True)
class CheckRow(Row):
    """A figure of the paper beside our value."""

    quantity: str
    """quantity of the figure, with its unit"""
    gpu: str | None
    model: str | None
    ctx: int | None
    paper: float | None
    """the paper's value"""
    ours: float | None
    """our value, None if it was not measured"""
    ours_low: float | None
    """ends of the interval of `ours` over sessions"""
    ours_high: float | None
    interval: str | None
    """`ci95`, `range` or `none`"""
    sessions: int | None
    """sessions that our value is based on"""
    difference: float | None
    """relative difference of our value from the paper's"""
    verdict: str
    reason: str | None
    """the likely reason of a difference"""


@dataclass(frozen=True)
class Ours:
    """Our value for a figure, with its interval over sessions (see `intervals.session_interval`).

    `cell` is the evidence that may explain a difference. With `grows`, a slower step gives a greater value.
    """

    value: float
    low: float | None
    high: float | None
    interval: str
    sessions: int
    cell: Evidence | None
    grows: bool


def counted_verdicts(table: Iterable[CheckRow]) -> str:
    """Returns the number of figures with each verdict as text, such as `0 are reproduced, 2 differ, 1 fits here`."""
    counts = Counter(row.verdict for row in table)
    shown = [verdict for verdict in COUNTED if counts[verdict] or verdict == REPRODUCES]
    return ", ".join(counted(counts[verdict], *COUNTED[verdict]) for verdict in shown)


def with_absence(row: CheckRow, gpus: Collection[str]) -> CheckRow:
    """Returns the row with the reason why nothing was measured, if it has neither value nor reason yet. `gpus` are
    those of all sessions."""
    if row.verdict != NOT_MEASURED or row.reason is not None or row.gpu is None:
        return row
    absent = "no valid session or A/B like it" if row.gpu in gpus else "no session"
    return replace(row, reason=f"{absent} on the {row.gpu}")


def check(quantity: str, spot: Spot, value: float, ours: Ours | None) -> CheckRow:
    """Returns the row of a figure, with a verdict if we have a value."""
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
        kind = f"range of {ours.sessions} sessions" if ours.interval == intervals.RANGE else "confidence interval"
        reason = f"too scattered for a verdict: the {kind} is {ours.low:.4g} to {ours.high:.4g}"
    else:
        reason = _reasons.likely_reason(ours.cell, is_slower=(difference > 0) == ours.grows)
    return replace(row, verdict=DIFFERS, reason=reason)


def _is_narrow(ours: Ours) -> bool:
    ends = [abs(end / ours.value - 1) for end in (ours.low, ours.high) if end is not None]
    return ours.interval == intervals.CI95 and max(ends) <= WIDEST
