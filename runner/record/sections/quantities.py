"""What follows from a session's raw values, and what it took: bytes, memory, latency and floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from runner.cell.fieldtypes import ABSENT, AsWritten, Count, Integer, Limit, NotNegative, Number, OrAbsent, Size


@dataclass(frozen=True)
class Bytes:
    """Bytes of one step."""

    weights: Size
    """B: W, all weights as stored in the cell's format, from the shape"""
    weights_measured: Count
    """B of the weights found on the device"""
    embedding: NotNegative
    """B: E, the input embedding where it is not tied to the head"""
    kv: NotNegative
    """B: K, keys and values of ctx positions"""
    kv_alloc_tokens: Annotated[float, Limit("minimum", "ge", 1), AsWritten()]
    """tokens a static cache allocates"""
    paper: NotNegative
    """B: W + K, as the paper counts"""
    streamed: NotNegative
    """B: W - E + K, what a step must read"""
    touched: NotNegative
    """B: streamed, with the whole allocation of a static cache"""


@dataclass(frozen=True)
class Latency:
    """Derived from the passes."""

    step_wall_ms: NotNegative
    """ms: median of passes.wall.steps_ms, host clock around step and read-back; the headline. Of a dynamic cache:
    on the first visit to each context length"""
    step_wall_revisit_ms: NotNegative | None
    """ms: median of passes.revisit.steps_ms, the wall clock on a second visit to the same lengths; null unless the
    cache is dynamic"""
    step_span_ms: NotNegative | None
    """ms: median of passes.span.steps_ms; of a dynamic cache over lengths visited before, to hold against
    step_wall_revisit_ms; null on a CPU"""
    step_rate_ms: NotNegative | None
    """ms: passes.rate.total_ms / protocol.steps; of a dynamic cache over lengths visited before; null on a CPU"""
    step_busy_ms: NotNegative | None
    """ms: median of passes.busy.steps_ms; of a dynamic cache over lengths visited before; null on a CPU"""
    profiled_span_ms: NotNegative | None
    """ms: median of passes.busy.span_ms, the profiled pass's own span"""
    step_wall_p90_ms: NotNegative | None
    """ms: upper 95 % confidence bound on the 90th percentile of the wall steps; null below 29 steps"""
    step_wall_p95_ms: NotNegative | None
    """ms: the same for the 95th percentile; null below 59 steps"""
    step_wall_p99_ms: NotNegative | None
    """ms: the same for the 99th percentile; null below 299 steps"""
    drift: Number
    """1: median of the last third of the wall steps over that of the first, minus one"""
    tokens_per_s: NotNegative | None
    """1/s: 1000 / step_wall_ms"""
    kernels_per_step: NotNegative | None
    """1: median of passes.busy.kernels"""


@dataclass(frozen=True)
class Floor:
    """The analytic memory floor of a step, and the fraction of it reached."""

    floor_ms: NotNegative | None
    """ms: bytes.streamed at gpu.bandwidth_gbs; null without a datasheet peak"""
    floor_paper_ms: NotNegative | None
    """ms: bytes.paper at gpu.bandwidth_gbs"""
    floor_achievable_ms: NotNegative | None
    """ms: bytes.streamed at probes.read_gbs"""
    r_floor: NotNegative | None
    """1: floor_ms / step_wall_ms, the honest headline"""
    r_floor_paper: NotNegative | None
    """1: floor_paper_ms / step_wall_ms"""
    r_floor_achievable: NotNegative | None
    """1: floor_achievable_ms / step_wall_ms"""


@dataclass(frozen=True)
class Held:
    """B held at one stage of building the step."""

    allocator: Integer
    """B of live tensors, by torch's allocator"""
    device: Integer
    """B taken, by the device's own account, less what the allocator keeps free"""


@dataclass(frozen=True)
class HeldBytes:
    """B held after each stage of building the step, beyond what was before the weights; none on a CPU."""

    weights: Held
    """with the weights loaded"""
    kernel: Held
    """with the kernel's layers made of them"""
    step: Held
    """with the step built, its cache included where that is allocated"""


@dataclass(frozen=True)
class Memory:
    """Memory."""

    peak_bytes: Count
    """B: most device memory in use (resident memory on a CPU)"""
    verify_extra_bytes: Count | None
    """B that the reference took over weights and KV; null on a CPU"""
    held_bytes: OrAbsent[HeldBytes] = ABSENT
