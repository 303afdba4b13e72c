"""Quantities of a session: bytes, latency, floor and memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from runner.cell.fieldtypes import ABSENT, AsWritten, Count, Integer, Limit, NotNegative, Number, OrAbsent, Size


@dataclass(frozen=True)
class Bytes:
    """The bytes of a step."""

    weights: Size
    """B: W, all weights as stored in the cell's format, from the shape"""
    weights_measured: Count
    """B of the weights as measured on the device"""
    embedding: NotNegative
    """B: E, the input embedding; 0 if it is tied to the head"""
    kv: NotNegative
    """B: K, keys and values of ctx positions"""
    kv_alloc_tokens: Annotated[float, Limit("minimum", "ge", 1), AsWritten()]
    """number of tokens that a static cache allocates"""
    paper: NotNegative
    """B: W + K, as the paper counts"""
    streamed: NotNegative
    """B: W - E + K, which a step must read"""
    touched: NotNegative
    """B: streamed, with the whole allocation of a static cache"""


@dataclass(frozen=True)
class Latency:
    """The times of a step, derived from the passes."""

    step_wall_ms: NotNegative
    """ms: median of the steps of passes.wall, by the host's clock around step and read-back; the headline. With a
    dynamic cache, each context length is met for the first time"""
    step_wall_revisit_ms: NotNegative | None
    """ms: median of passes.revisit.steps_ms, by the host's clock over context lengths met before; null unless the cache
    is dynamic"""
    step_span_ms: NotNegative | None
    """ms: median of passes.span.steps_ms; with a dynamic cache over context lengths met before, so compare it with
    step_wall_revisit_ms; null on a CPU"""
    step_rate_ms: NotNegative | None
    """ms: passes.rate.total_ms / the number of its steps; with a dynamic cache over context lengths met before; null on
    a CPU"""
    step_busy_ms: NotNegative | None
    """ms: median of passes.busy.steps_ms; with a dynamic cache over context lengths met before; null on a CPU"""
    profiled_span_ms: NotNegative | None
    """ms: median of passes.busy.span_ms, the profiled pass's own span"""
    step_wall_p90_ms: NotNegative | None
    """ms: upper 95 % confidence bound on the 90th percentile of the wall steps, as if they were independent;
    null below 29 steps"""
    step_wall_p95_ms: NotNegative | None
    """ms: upper 95 % confidence bound on the 95th percentile of the wall steps, as if they were independent;
    null below 59 steps"""
    step_wall_p99_ms: NotNegative | None
    """ms: upper 95 % confidence bound on the 99th percentile of the wall steps, as if they were independent;
    null below 299 steps"""
    drift: Number
    """1: median of the last third of the wall steps / median of the first third, minus 1"""
    tokens_per_s: NotNegative | None
    """1/s: 1000 / step_wall_ms"""
    kernels_per_step: NotNegative | None
    """1: median of passes.busy.kernels"""


@dataclass(frozen=True)
class Floor:
    """The analytic memory floor of a step, and the floor as a fraction of the measured step."""

    floor_ms: NotNegative | None
    """ms: bytes.streamed at gpu.bandwidth_gbs; null without a datasheet peak"""
    floor_paper_ms: NotNegative | None
    """ms: bytes.paper at gpu.bandwidth_gbs"""
    floor_achievable_ms: NotNegative | None
    """ms: bytes.streamed at probes.read_gbs"""
    r_floor: NotNegative | None
    """1: floor_ms / step_wall_ms; the headline"""
    r_floor_paper: NotNegative | None
    """1: floor_paper_ms / step_wall_ms"""
    r_floor_achievable: NotNegative | None
    """1: floor_achievable_ms / step_wall_ms"""


@dataclass(frozen=True)
class Held:
    """The memory in use at a stage of building the step."""

    allocator: Integer
    """B of live tensors, by torch's allocator"""
    device: Integer
    """B in use as the device reports it, minus the bytes that the allocator caches"""


@dataclass(frozen=True)
class HeldBytes:
    """The memory in use after each stage of building the step, minus the memory in use before the weights were loaded;
    absent on a CPU."""

    weights: Held
    """after the weights were loaded"""
    kernel: Held
    """after the kernel's layers were built from them"""
    step: Held
    """after the step was built, with the cache if it is allocated by then"""


@dataclass(frozen=True)
class Memory:
    """The memory of the session."""

    peak_bytes: Count
    """B: largest device memory in use (resident memory on a CPU)"""
    verify_extra_bytes: Count | None
    """B that the reference used beyond weights and KV cache; null on a CPU"""
    held_bytes: OrAbsent[HeldBytes] = ABSENT
    steps_peak_bytes: OrAbsent[Count] = ABSENT
    """B: the same during prefill and the timed steps, without the checks between them; absent on a CPU"""
