"""A/B comparisons as text for a terminal: arms, ratio, interval, verdict and flags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis import abrows
from analysis.ab import Measured
from analysis.abrow import ABRow
from analysis.form import NOTHING
from analysis.statistics import intervals
from analysis.tables import graphs
from runner.counts import counted
from runner.layout import WIDTH, line


def text(compared: Sequence[Measured], width: int = WIDTH) -> str:
    """Returns a block of labelled lines for each A/B."""
    blocks = ((measured.manifest.heading, abrows.row(measured)) for measured in compared)
    return "\n".join("".join(f"{each}\n" for each in (heading, *_lines(row, width))) for heading, row in blocks)


def _lines(row: ABRow, width: int) -> Iterator[str]:
    yield from line("arm a", f"{row.a_ms:.3f} ms  {row.arm_a}", width)
    yield from line("arm b", f"{row.b_ms:.3f} ms  {row.arm_b}", width)
    sessions = counted(row.sessions, "session")
    yield from line("a / b", f"{row.ratio:.3f}{_interval(row)}, from {sessions} of each arm", width)
    yield from line("verdict", f"{row.verdict or 'none'}: {graphs.reason(row)}", width)
    yield from line("flags", f"{', '.join(row.flags)} (docs/flags.md)" if row.flags else NOTHING, width)


def _interval(row: ABRow) -> str:
    label = intervals.label(row.interval, row.sessions)
    if label is None:
        return ""
    name = label if row.interval == intervals.RANGE else f"{label} interval"
    return f", {name} {row.ratio_low:.3f}–{row.ratio_high:.3f}"
