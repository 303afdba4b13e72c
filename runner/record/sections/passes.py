"""What was timed: the passes with their raw steps, the kernels of a step, and what really ran."""

from __future__ import annotations

from dataclasses import dataclass

from runner.cell.fieldtypes import ABSENT, Count, Integer, NotNegative, Number, OrAbsent, Positive, Series


@dataclass(frozen=True, kw_only=True)
class Window:
    """What may not happen while steps are timed, counted."""

    segments: Integer
    """driver allocations and returns of torch's allocator inside the window (0 on a CPU)"""
    compiled: Integer
    """graphs compiled by torch.compile inside the window"""
    captured: OrAbsent[Integer] = ABSENT
    """captures of CUDA graphs begun inside the window"""
    collected: OrAbsent[Integer] = ABSENT
    """garbage collections inside the window"""


@dataclass(frozen=True, kw_only=True)
class WallPass(Window):
    """Host clock around one step and the read-back of its token."""

    steps_ms: Series[Positive]
    """ms, one per step"""
    other_cpu_cores: NotNegative | None
    """CPU cores that other processes used in the window; null where the host does not tell"""


@dataclass(frozen=True, kw_only=True)
class SpanPass(Window):
    """Device time of a step; the read-back lies outside."""

    steps_ms: Series[Positive]
    """ms between two events around one step"""


@dataclass(frozen=True, kw_only=True)
class RatePass(Window):
    """Throughput without read-back."""

    total_ms: Positive
    """ms of all steps back to back with one synchronise"""


@dataclass(frozen=True, kw_only=True)
class BusyPass(Window):
    """A profiled pass."""

    steps_ms: Series[NotNegative]
    """ms in which at least one kernel ran, one per step"""
    span_ms: Series[NotNegative]
    """ms from the first kernel's start to the last one's end, one per step"""
    kernels: Series[Count]
    """kernels, one per step"""


@dataclass(frozen=True)
class Passes:
    """The timed passes, raw; each restarts at ctx after the same warm-up. Span, rate and busy need a GPU."""

    wall: WallPass
    revisit: OrAbsent[WallPass] = ABSENT
    """The wall pass once more, where the cache is dynamic"""
    span: OrAbsent[SpanPass] = ABSENT
    rate: OrAbsent[RatePass] = ABSENT
    busy: OrAbsent[BusyPass] = ABSENT


OTHERS = "(others)"
"""Name of the row that sums up the kernels without a row of their own."""


@dataclass(frozen=True)
class KernelTime:
    """A kernel of the profiled step."""

    name: str
    """name, cut to 100 characters"""
    count: NotNegative
    """launches per step, mean"""
    us: NotNegative
    """us per step, mean"""


@dataclass(frozen=True)
class Prefill:
    """Prefill to ctx."""

    cold_ms: NotNegative
    """ms: the first prefill to ctx, until its token is on the host"""
    ms: NotNegative
    """ms: the second; time to first token"""


@dataclass(frozen=True)
class Actual:
    """What really ran; a mismatch with the cell is an error."""

    runtime: str
    """that ran"""
    graph_mode: str
    """none, whole-step or partial: read off the graph launches in the profile"""
    kernel: str
    """that ran, asserted on the names in the profile"""
    kernel_names: Series[str]
    """some of those names"""
    attention_backend: str
    """read off the kernel names: flash, cudnn, efficient, math or unknown"""
    cache: str
    """what the live cache showed itself to be"""
    graph_launches_per_step: OrAbsent[Number] = ABSENT
    """CUDA graphs launched, in the profiled pass"""
    products_per_step: OrAbsent[Number] = ABSENT
    """kernels of those names in a step; the layers' linear products at least"""
    settings: OrAbsent[dict[str, str]] = ABSENT
    """what an engine of its own chose on this machine"""
