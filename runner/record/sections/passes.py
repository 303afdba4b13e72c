"""The timed passes with their raw steps, the kernels of a step, and the configuration that really ran."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, TypeAlias

from runner.cell.fieldtypes import (
    ABSENT,
    Count,
    Integer,
    NotNegative,
    Number,
    OrAbsent,
    Positive,
    Series,
    Size,
    WithOrWithout,
)


@dataclass(frozen=True, kw_only=True)
class Window:
    """Counts of events that must not happen while steps are timed."""

    segments: Integer
    """number of times that torch's allocator took memory from the driver or returned it inside the window (0 on a
    CPU)"""
    compiled: Integer
    """number of graphs that torch.compile compiled inside the window"""
    captured: OrAbsent[Integer] = ABSENT
    """number of CUDA graph captures begun inside the window"""
    collected: OrAbsent[Integer] = ABSENT
    """number of garbage collections inside the window"""


@dataclass(frozen=True, kw_only=True)
class HostPass(Window):
    """A pass timed by the host's clock, around each step and the read-back of its token, and what else the host did
    meanwhile."""

    other_cpu_cores: NotNegative | None
    """CPU cores that other processes used in the windows; null if the host does not report it"""
    voluntary_switches: OrAbsent[Count] = ABSENT
    """number of times in the windows that the timing thread waited for something and gave up its core"""
    involuntary_switches: OrAbsent[Count] = ABSENT
    """number of times in the windows that the timing thread was taken off its core for another one"""
    cpu_mhz: OrAbsent[Series[Positive] | None] = ABSENT
    """MHz of the core that ran the timing thread, at the end of each window; null if the host does not report it"""


@dataclass(frozen=True, kw_only=True)
class WallPass(HostPass):
    """A pass by the host's clock with a single window."""

    steps_ms: Series[Positive]
    """ms, one per step"""

    @property
    def windows_ms(self) -> tuple[tuple[float, ...], ...]:
        """Returns the steps of each window in ms."""
        return (self.steps_ms,)


@dataclass(frozen=True, kw_only=True)
class WindowedPass(HostPass):
    """A pass by the host's clock with several windows, each restarted at ctx after warm-up steps."""

    windows_us: Series[Series[Size]]
    """µs, one series per window with one integer per step"""

    @property
    def windows_ms(self) -> tuple[tuple[float, ...], ...]:
        """Returns the steps of each window in ms."""
        return tuple(tuple(us / 1e3 for us in window) for window in self.windows_us)

    @property
    def steps_ms(self) -> tuple[float, ...]:
        """Returns the steps of all windows in ms."""
        return tuple(us / 1e3 for window in self.windows_us for us in window)


@dataclass(frozen=True, kw_only=True)
class SpanPass(Window):
    """A pass timed on the device. The read-back is not included."""

    steps_ms: Series[Positive]
    """ms between two events around one step"""


@dataclass(frozen=True, kw_only=True)
class RatePass(Window):
    """A pass that measures throughput, without read-back."""

    total_ms: Positive
    """ms of all steps back to back, with a single synchronise at the end"""


@dataclass(frozen=True, kw_only=True)
class BusyPass(Window):
    """A profiled pass."""

    steps_ms: Series[NotNegative]
    """ms in which at least one kernel ran, one per step"""
    span_ms: Series[NotNegative]
    """ms from the first kernel's start to the last kernel's end, one per step"""
    kernels: Series[Count]
    """number of kernels, one per step"""


@dataclass(frozen=True)
class Passes:
    """The timed passes with their raw values. Each restarts at ctx after the same warm-up. Span, rate and busy need a
    GPU."""

    wall: Annotated[WallPass | WindowedPass, WithOrWithout("windows_us", HostPass, WindowedPass, WallPass)]
    revisit: OrAbsent[WallPass] = ABSENT
    """a second wall pass; absent unless the cache is dynamic"""
    span: OrAbsent[SpanPass] = ABSENT
    rate: OrAbsent[RatePass] = ABSENT
    busy: OrAbsent[BusyPass] = ABSENT


StepwisePass: TypeAlias = WallPass | WindowedPass | SpanPass | BusyPass
"""A pass with a time for each step."""
TimedPass: TypeAlias = StepwisePass | RatePass


def timed_passes(passes: Passes) -> dict[str, TimedPass]:
    """Returns the passes that a record has, by name."""
    values = ((field.name, getattr(passes, field.name)) for field in fields(passes))
    return {name: timed for name, timed in values if timed is not ABSENT}


@dataclass(frozen=True)
class Phases:
    """Clocks of a multiprocessor in each phase of a step that is one kernel, one value per step. An instrumented build
    of the kernel runs these steps after all timed passes. Values are means over the blocks."""

    qkv: Series[NotNegative]
    """the products by Wq, Wk and Wv"""
    attention: Series[NotNegative]
    """attention over the cache, its waits included"""
    out: Series[NotNegative]
    """the product by Wo"""
    gate_up: Series[NotNegative]
    """the products by Wgate and Wup"""
    down: Series[NotNegative]
    """the product by Wdown, its wait for the activations included"""
    head: Series[NotNegative]
    """the logits"""
    exchanges: Series[NotNegative]
    """norms and other places where a block waits for the values of all others, and the choice of the token"""


SUMMARY_ROWS = 24
"""Largest number of kernels with a row of their own: those with most time."""
OTHERS = "(others)"
"""Name of the row that adds up all kernels without a row of their own."""


@dataclass(frozen=True)
class KernelTime:
    """A kernel of the profiled step."""

    name: str
    """name, truncated to 100 characters"""
    count: NotNegative
    """mean number of launches per step"""
    us: NotNegative
    """mean us per step"""


@dataclass(frozen=True)
class Prefill:
    """The prefill to ctx."""

    cold_ms: NotNegative
    """ms of the first prefill to ctx, until its token is on the host"""
    ms: NotNegative
    """ms of the second prefill: time to first token"""


@dataclass(frozen=True)
class Actual:
    """The configuration that really ran. A mismatch with the cell is an error."""

    runtime: str
    """runtime that ran"""
    graph_mode: str
    """none, whole-step or partial, from the graph launches in the profile"""
    kernel: str
    """kernel that ran, checked against the names in the profile"""
    kernel_names: Series[str]
    """some names of that kernel in the profile"""
    attention_backend: str
    """flash, cudnn, efficient, math or unknown, from the names in the profile"""
    cache: str
    """kind of the live cache object"""
    graph_launches_per_step: OrAbsent[Number] = ABSENT
    """launches of CUDA graphs per step of the profiled pass"""
    products_per_step: OrAbsent[Number] = ABSENT
    """launches of that kernel per step; at least one for each linear product of the layers"""
    copies_per_step: OrAbsent[Number] = ABSENT
    """copies and fills per step of the profiled pass; the read-back is one"""
    settings: OrAbsent[dict[str, str]] = ABSENT
    """settings that an engine chose on this machine"""
