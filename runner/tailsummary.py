"""The tail of a session's steps: percentiles, the largest step and jitter, and what else the host did meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from runner.cell.fieldtypes import value_or_none
from runner.counts import counted
from runner.layout import WIDTH, line
from runner.record import quantiles, tails
from runner.record.sessionrecord import MeasuredRecord


@dataclass(frozen=True)
class Tail:
    """The tail of a session's steps by the host's clock. A number that an older record lacks is null."""

    steps: int
    """timed steps of the wall pass"""
    windows: int
    """its windows, each restarted at ctx"""
    tau: float
    """integrated autocorrelation time of the slowest tenth of the steps, in steps"""
    n_eff: float
    """number of independent steps that they are worth: steps / tau"""
    p50_ms: float
    """median step in ms"""
    p90_ms: float | None
    """upper 95 % bound on the 90th percentile in ms; null if the sample is too small"""
    p99_ms: float | None
    """upper 95 % bound on the 99th percentile in ms; null if the sample is too small"""
    max_ms: float
    """largest step in ms"""
    jitter_ms: float
    """mean absolute difference between consecutive steps in ms"""
    other_cpu_cores: float | None
    """CPU cores that other processes used meanwhile"""
    involuntary_switches: int | None
    """number of times that the timing thread was taken off its core for another one"""
    voluntary_switches: int | None
    """number of times that the timing thread waited for something and gave up its core"""
    cpu_mhz: Sequence[float] | None
    """MHz of the core that ran the timing thread, at the end of each window"""


def tail(record: MeasuredRecord) -> Tail:
    """Returns the tail of a session's wall pass."""
    wall = record.passes.wall
    size = tails.effective(wall.windows_ms)
    return Tail(
        steps=size.n,
        windows=len(wall.windows_ms),
        tau=size.tau,
        n_eff=size.n_eff,
        p50_ms=median(wall.steps_ms),
        p90_ms=tails.percentile_bound(wall.windows_ms, 90),
        p99_ms=tails.percentile_bound(wall.windows_ms, 99),
        max_ms=max(wall.steps_ms),
        jitter_ms=quantiles.jitter(wall.windows_ms),
        other_cpu_cores=wall.other_cpu_cores,
        involuntary_switches=value_or_none(wall.involuntary_switches),
        voluntary_switches=value_or_none(wall.voluntary_switches),
        cpu_mhz=value_or_none(wall.cpu_mhz),
    )


def lines(found: Tail, width: int = WIDTH) -> Iterator[str]:
    """Yields the lines of a tail."""
    bounds = {"p90": found.p90_ms, "p99": found.p99_ms}
    percentiles = ", ".join(f"{name} {'–' if ms is None else f'{ms:.3f} ms'}" for name, ms in bounds.items())
    yield from line(
        "tail",
        f"p50 {found.p50_ms:.3f} ms, {percentiles}, largest {found.max_ms:.3f} ms, jitter {found.jitter_ms:.3f} ms",
        width,
    )
    windows = f" in {found.windows} windows" if found.windows > 1 else ""
    yield from line(
        "",
        f"p90 and p99 are upper 95 % bounds of this session: {counted(found.steps, 'step')}{windows}, as good as "
        f"{found.n_eff:.0f} independent ones (tau {found.tau:.1f})",
        width,
    )
    if missing := [name for name, ms in bounds.items() if ms is None]:
        yield from line("", f"{' and '.join(missing)}: too few independent steps for a bound", width)
    yield from line("host", "; ".join(_host(found)), width)


def _host(found: Tail) -> Iterator[str]:
    """Yields what is known of the host while the steps were timed."""
    if found.involuntary_switches is not None and found.voluntary_switches is not None:
        yield (
            f"context switches of the timing thread: {found.involuntary_switches} involuntary, "
            f"{found.voluntary_switches} voluntary"
        )
    yield "other processes: " + (
        "not readable" if found.other_cpu_cores is None else f"{found.other_cpu_cores:.2f} cores"
    )
    if found.cpu_mhz is None:
        yield "CPU frequency: not readable"
    else:
        ends = dict.fromkeys(f"{mhz:.0f}" for mhz in (min(found.cpu_mhz), max(found.cpu_mhz)))
        yield f"CPU frequency: {' to '.join(ends)} MHz"
