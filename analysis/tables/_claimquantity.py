"""Quantities that claims are tested by, each with its interval over sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars

from analysis import groups
from analysis.group import Group, Key
from analysis.sources.columns import SESSION
from analysis.sources.frame import Frame
from analysis.statistics import intervals
from analysis.tables import _baselines
from analysis.tables._baselines import Baseline
from analysis.tables._claimrow import Quantity
from analysis.tables._graphsgain import Gain
from analysis.tables._trace import Traces, joined

Values = Mapping[Key, Sequence[float]]
"""A quotient of two metrics for each session of a group that has both."""
STRENGTH = (intervals.NONE, intervals.RANGE, intervals.CI95)
"""Kinds of intervals, the weakest first."""


def session_values(frame: Frame, numerator: str, denominator: str) -> Values:
    """Returns the quotient of two metrics for the counted sessions of each group."""
    quotient = polars.col(numerator) / polars.col(denominator)
    by_session = dict(frame.sessions.select(SESSION, quotient).drop_nulls().iter_rows())
    counted = groups.counted_sessions(frame)
    return {
        key: [by_session[session] for session in sessions if session in by_session] for key, sessions in counted.items()
    }


def of_group(group: Group | None, values: Values, traces: Traces) -> Quantity | None:
    """Returns the median over a group's sessions with its interval, None without a group or values."""
    found = [] if group is None else values.get(group.key, [])
    if group is None or not found:
        return None
    low, high, kind = intervals.session_interval(found)
    centre = float(intervals.centre(found) or 0.0)
    return Quantity(centre, low, high, kind, len(found), len(group.hosts), group.flags, traces.of_group(group))


def over(dividend: Quantity | None, divisor: Quantity | None) -> Quantity | None:
    """Returns the quotient of two quantities. Its ends are those of the least favourable values of both."""
    if dividend is None or divisor is None:
        return None
    return Quantity(
        dividend.value / divisor.value,
        dividend.low / divisor.high,
        dividend.high / divisor.low,
        min(dividend.interval, divisor.interval, key=STRENGTH.index),
        min(dividend.sessions, divisor.sessions),
        dividend.hosts + divisor.hosts,
        sorted({*dividend.flags, *divisor.flags}),
        joined(dividend.origins, divisor.origins),
    )


def of_step(group: Group, traces: Traces) -> Quantity:
    """Returns a group's step in ms."""
    low, high = (group.wall_ms if end is None else end for end in (group.step_wall_ms_low, group.step_wall_ms_high))
    kind = group.interval or intervals.NONE
    hosts, origins = len(group.hosts), traces.of_group(group)
    return Quantity(group.wall_ms, low, high, kind, group.sessions, hosts, group.flags, origins)


def of_gain(gain: Gain | None, traces: Traces) -> Quantity | None:
    """Returns the ratio of an A/B, None without one."""
    if gain is None:
        return None
    low, high = (gain.ratio if end is None else end for end in (gain.low, gain.high))
    row = gain.row
    return Quantity(gain.ratio, low, high, row.interval, row.sessions, row.hosts, row.flags, traces.of_ab(row))


def times(first: Quantity, second: Quantity) -> Quantity:
    """Returns the product of two ratios. Its ends are the products of theirs."""
    return Quantity(
        first.value * second.value,
        first.low * second.low,
        first.high * second.high,
        min(first.interval, second.interval, key=STRENGTH.index),
        min(first.sessions, second.sessions),
        max(first.hosts, second.hosts),
        sorted({*first.flags, *second.flags}),
        joined(first.origins, second.origins),
    )


def of_savings(group: Group | None, baseline: Baseline | None, traces: Traces) -> Quantity | None:
    """Returns the saving over a baseline as a fraction of the saving that the bytes allow."""
    if group is None or baseline is None or (ideal := _baselines.ideal(group, baseline)) is None:
        return None
    saving = baseline.saving
    return Quantity(
        saving.ratio / ideal,
        saving.low / ideal,
        saving.high / ideal,
        saving.interval,
        min(group.sessions, baseline.group.sessions),
        saving.hosts,
        sorted({*group.flags, *baseline.group.flags}),
        traces.on_common_hosts(group, baseline.group),
    )
