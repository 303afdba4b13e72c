"""The table of metrics: numbers of a measured record with their names in MLflow and their units.

The MLflow writer and `analysis` read names and units from here. `record.derive` computes the numbers that a record
stores. The metrics that no record stores are computed from its other fields, so older records have them too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

from runner.cell.fieldtypes import Absent, value_or_none
from runner.record import derive, energy, phases, quantiles, tails
from runner.record.sections.energy import Energy
from runner.record.sessionrecord import MeasuredRecord, SessionRecord

CTX = "cell/ctx"
STEP_SERIES = "latency/step_wall_series_ms"
"""Series of the timed steps by the host's clock, in ms. MLflow's step is the index of the timed step."""


@dataclass(frozen=True)
class Metric:
    """A number of a measured record with its name in MLflow; None if the record does not support it."""

    name: str
    unit: str
    value: Callable[[MeasuredRecord], float | None]


def passes_disagreement(record: MeasuredRecord) -> float | None:
    """Returns the difference between the slowest and the fastest pass over the same context lengths, as a share of the
    step by the host's clock; None unless span and rate were timed.

    With a dynamic cache, the host's pass is `revisit`, because `wall` meets each length for the first time. The
    profiled pass counts only as the fastest: a profiler makes no step faster.
    """
    passes, steps = record.passes, record.protocol.other_steps
    host_ms = median(ms for window in (passes.revisit or passes.wall).windows_ms for ms in window[:steps])
    span_ms, rate_ms = derive.median_ms(passes.span), derive.rate_ms(passes, record.protocol)
    if span_ms is None or rate_ms is None:
        return None
    profiled_ms = host_ms if isinstance(passes.busy, Absent) else median(passes.busy.span_ms)
    shortest = min(host_ms, span_ms, rate_ms, profiled_ms)
    return (max(host_ms, span_ms, rate_ms) - shortest) / host_ms


def energy_disagreement(record: MeasuredRecord) -> float | None:
    """Returns the difference between the mean step while energy was measured and the step by the host's clock, as a
    share of the latter; None without energy."""
    if not isinstance(record.energy, Energy):
        return None
    host_ms = median((record.passes.revisit or record.passes.wall).steps_ms)
    return abs(energy.step_ms(record.energy.steps) - host_ms) / host_ms


def kernel_sum_ms(record: MeasuredRecord) -> float | None:
    """Returns the sum of a profiled step's kernel durations in ms; None on a CPU. Kernels that overlap count in full,
    so the sum may exceed the busy time."""
    return sum(kernel.us for kernel in record.kernels) / 1000 if record.kernels else None


def phase_beyond_ms(name: str, record: MeasuredRecord) -> float | None:
    """Returns the ms of a phase of the step's kernel beyond the time to read its bytes; None without phases."""
    return phases.beyond_ms(record).get(name)


def of_energy(name: str, record: MeasuredRecord) -> float | None:
    """Returns a number of the section `energy`; None without one, and for a session with wrong answers: the energy of
    a wrong step means nothing."""
    if not isinstance(record.energy, Energy) or not record.valid:
        return None
    value: float | None = getattr(record.energy, name)
    return value


ENERGY = {
    "joules_per_token": "J",
    "joules_per_token_above_idle": "J",
    "uncertainty": "1",
    "sm_clock_mhz": "MHz",
    "memory_clock_mhz": "MHz",
}
METRICS: tuple[Metric, ...] = (
    Metric(CTX, "tokens", lambda r: r.cell.ctx),
    Metric("bytes/weights", "B", lambda r: r.bytes.weights),
    Metric("bytes/embedding", "B", lambda r: r.bytes.embedding),
    Metric("bytes/kv", "B", lambda r: r.bytes.kv),
    Metric("bytes/kv_alloc_tokens", "tokens", lambda r: r.bytes.kv_alloc_tokens),
    Metric("bytes/paper", "B", lambda r: r.bytes.paper),
    Metric("bytes/streamed", "B", lambda r: r.bytes.streamed),
    Metric("bytes/touched", "B", lambda r: r.bytes.touched),
    Metric("probe/read_gbs", "GB/s", lambda r: r.probes.read_gbs),
    Metric("probe/launch_us", "us", lambda r: r.probes.launch_us),
    Metric("latency/step_wall_ms", "ms", lambda r: r.latency.step_wall_ms),
    Metric("latency/step_wall_revisit_ms", "ms", lambda r: r.latency.step_wall_revisit_ms),
    Metric("latency/step_span_ms", "ms", lambda r: r.latency.step_span_ms),
    Metric("latency/step_rate_ms", "ms", lambda r: r.latency.step_rate_ms),
    Metric("latency/step_busy_ms", "ms", lambda r: r.latency.step_busy_ms),
    Metric("latency/profiled_span_ms", "ms", lambda r: r.latency.profiled_span_ms),
    Metric("latency/step_wall_p90_ms", "ms", lambda r: r.latency.step_wall_p90_ms),
    Metric("latency/step_wall_p95_ms", "ms", lambda r: r.latency.step_wall_p95_ms),
    Metric("latency/step_wall_p99_ms", "ms", lambda r: r.latency.step_wall_p99_ms),
    Metric("latency/p99", "ms", lambda r: tails.percentile_bound(r.passes.wall.windows_ms, 99)),
    Metric("latency/max_ms", "ms", lambda r: max(r.passes.wall.steps_ms)),
    Metric("latency/jitter_ms", "ms", lambda r: quantiles.jitter(r.passes.wall.windows_ms)),
    Metric("latency/drift", "1", lambda r: r.latency.drift),
    Metric("latency/tokens_per_s", "1/s", lambda r: r.latency.tokens_per_s),
    Metric("latency/kernels_per_step", "1", lambda r: r.latency.kernels_per_step),
    Metric("latency/kernel_sum_ms", "ms", kernel_sum_ms),
    *(Metric(f"kernels/{name}_ms", "ms", partial(phase_beyond_ms, name)) for name in phases.NAMES),
    Metric("latency/passes_disagreement", "1", passes_disagreement),
    Metric("latency/prefill_ms", "ms", lambda r: r.prefill.ms),
    Metric("floor/floor_ms", "ms", lambda r: r.floor.floor_ms),
    Metric("floor/floor_paper_ms", "ms", lambda r: r.floor.floor_paper_ms),
    Metric("floor/floor_achievable_ms", "ms", lambda r: r.floor.floor_achievable_ms),
    Metric("floor/r_floor", "1", lambda r: r.floor.r_floor),
    Metric("floor/r_floor_paper", "1", lambda r: r.floor.r_floor_paper),
    Metric("floor/r_floor_achievable", "1", lambda r: r.floor.r_floor_achievable),
    Metric("gate/trusted_error", "1", lambda r: r.gate.trusted_error),
    Metric("gate/error", "1", lambda r: r.gate.error),
    Metric("gate/bound", "1", lambda r: r.gate.bound),
    Metric("gate/ratio", "1", lambda r: value_or_none(r.gate.ratio)),
    Metric("gate/regret", "1", lambda r: value_or_none(r.gate.regret)),
    Metric("gate/repeatable", "1", lambda r: value_or_none(r.gate.repeatable)),
    *(Metric(f"energy/{name}", unit, partial(of_energy, name)) for name, unit in ENERGY.items()),
    Metric("energy/disagreement", "1", lambda r: energy_disagreement(r) if r.valid else None),
    Metric("memory/peak", "B", lambda r: r.memory.peak_bytes),
    Metric("memory/verify_extra", "B", lambda r: r.memory.verify_extra_bytes),
    Metric("cost/fixed_s", "s", lambda r: value_or_none(r.cost_s.fixed)),
    Metric("cost/compile_s", "s", lambda r: value_or_none(r.cost_s.compile)),
    Metric("cost/prefill_s", "s", lambda r: r.cost_s.prefill),
    Metric("cost/steps_s", "s", lambda r: r.cost_s.steps),
    Metric("cost/energy_s", "s", lambda r: value_or_none(r.cost_s.energy)),
    Metric("gpu/temperature_before_c", "C", lambda r: r.snapshots.before.temperature_c),
    Metric("gpu/temperature_after_c", "C", lambda r: r.snapshots.after.temperature_c),
    Metric("gpu/power_before_w", "W", lambda r: r.snapshots.before.power_w),
    Metric("gpu/power_after_w", "W", lambda r: r.snapshots.after.power_w),
    Metric("gpu/sm_clock_before_mhz", "MHz", lambda r: r.snapshots.before.sm_clock_mhz),
    Metric("gpu/sm_clock_after_mhz", "MHz", lambda r: r.snapshots.after.sm_clock_mhz),
    Metric("gpu/memory_clock_before_mhz", "MHz", lambda r: r.snapshots.before.memory_clock_mhz),
    Metric("gpu/memory_clock_after_mhz", "MHz", lambda r: r.snapshots.after.memory_clock_mhz),
    Metric("gpu/memory_used_before", "B", lambda r: r.snapshots.before.memory_used_bytes),
    Metric("gpu/memory_used_after", "B", lambda r: r.snapshots.after.memory_used_bytes),
    Metric("gpu/utilisation_before_percent", "%", lambda r: r.snapshots.before.utilisation_percent),
    Metric("gpu/utilisation_after_percent", "%", lambda r: r.snapshots.after.utilisation_percent),
)


def values(record: SessionRecord) -> dict[str, float]:
    """Returns name in MLflow → value of every metric that the record has."""
    if not isinstance(record, MeasuredRecord):
        return {CTX: float(record.cell.ctx)}
    computed = ((metric.name, metric.value(record)) for metric in METRICS)
    return {name: float(value) for name, value in computed if value is not None}


def step_series_ms(record: SessionRecord) -> tuple[float, ...]:
    """Returns the time of each step by the host's clock in ms; empty if nothing was measured."""
    return tuple(map(float, record.passes.wall.steps_ms)) if isinstance(record, MeasuredRecord) else ()
