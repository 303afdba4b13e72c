"""The one table of metrics: where a value stands in a record, its name in MLflow, its unit and its formula.

The worker writes raw values and calls `derive`; `runner verify` derives again and compares; the MLflow writer and
`analysis` read names and units from here. A formula returns None where the record cannot support the value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from runner.cell import floors
from runner.cell.shape import ModelShape
from runner.record import gaterules, quantiles

Record = Mapping[str, Any]
Formula = Callable[[Record], float | None]


@dataclass(frozen=True)
class Metric:
    """`path` is dotted into the record; `formula` is None for values that were measured, not derived. One that is not
    `stored` is no part of the record: whoever shows it derives it, so that records of before there was one have it."""

    path: str
    name: str
    unit: str
    formula: Formula | None = None
    stored: bool = True

    def value(self, record: Record) -> float | None:
        """Of a record, None where it has none."""
        shown = lookup(record, self.path) if self.stored or self.formula is None else self.formula(record)
        return None if shown is None else float(shown)


def lookup(record: Record, path: str) -> Any:
    """The value at a dotted path, or None where any part of it is absent."""
    value: Any = record
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def _steps(pass_name: str, series: str = "steps_ms") -> Callable[[Record], list[float] | None]:
    return lambda record: lookup(record, f"passes.{pass_name}.{series}") or None


def _median(pass_name: str, series: str = "steps_ms") -> Formula:
    values = _steps(pass_name, series)

    def formula(record: Record) -> float | None:
        found = values(record)
        return None if found is None else median(found)

    return formula


def _tail(percent: int) -> Formula:
    values = _steps("wall")

    def formula(record: Record) -> float | None:
        found = values(record)
        return None if found is None else quantiles.tail_bound(found, percent)

    return formula


def _drift(record: Record) -> float | None:
    values = _steps("wall")(record)
    return None if values is None else quantiles.drift(values)


def _quotient(numerator: str, denominator: str, factor: float = 1.0) -> Formula:
    def formula(record: Record) -> float | None:
        above, below = lookup(record, numerator), lookup(record, denominator)
        return None if above is None or not below else factor * above / below

    return formula


def _tokens_per_s(record: Record) -> float | None:
    step_ms = lookup(record, "latency.step_wall_ms")
    return 1000 / step_ms if step_ms else None


def _shape(record: Record) -> ModelShape:
    return ModelShape.from_json(record["model"]["shape"])


def _dtype_bytes(record: Record) -> int:
    return int(floors.DTYPE_BYTES[record["cell"]["dtype"]])


def _embedding_bytes(record: Record) -> float:
    return floors.embedding_bytes(_shape(record), _dtype_bytes(record))


def _kv_per_token(record: Record) -> float:
    return floors.kv_bytes_per_token(_shape(record), _dtype_bytes(record))


def _kv_bytes(record: Record) -> float:
    return float(_kv_per_token(record) * record["cell"]["ctx"])


def _kv_alloc_tokens(record: Record) -> float:
    protocol = record["protocol"]
    return floors.kv_alloc_tokens(record["cell"]["ctx"], protocol["warmup"], protocol["steps"])


def _bytes_paper(record: Record) -> float:
    counted = record["bytes"]
    return floors.bytes_paper(counted["weights"], counted["kv"])


def _bytes_streamed(record: Record) -> float:
    counted = record["bytes"]
    return floors.bytes_streamed(counted["weights"], counted["embedding"], counted["kv"])


def _bytes_touched(record: Record) -> float:
    """Streamed bytes, with the whole allocation of a cache that is read as a whole (`static`)."""
    counted = record["bytes"]
    if record["cell"]["cache"] == "dynamic":
        return floors.bytes_streamed(counted["weights"], counted["embedding"], counted["kv"])
    allocated = int(_kv_per_token(record) * counted["kv_alloc_tokens"])
    return floors.bytes_streamed(counted["weights"], counted["embedding"], allocated)


def _floor(step_bytes: str, bandwidth: str) -> Formula:
    def formula(record: Record) -> float | None:
        counted, peak = lookup(record, step_bytes), lookup(record, bandwidth)
        return None if counted is None or not peak else floors.floor_ms(counted, peak)

    return formula


def _best_read(record: Record) -> float | None:
    samples = lookup(record, "probes.read_samples_gbs")
    return max(samples) if samples else None


def _launch(record: Record) -> float | None:
    samples = lookup(record, "probes.launch_samples_us")
    return median(samples) if samples else None


def _rate(record: Record) -> float | None:
    total = lookup(record, "passes.rate.total_ms")
    return None if total is None else total / record["protocol"]["steps"]


def passes_disagreement(record: Record) -> float | None:
    """Returns how far the passes over the same context lengths lie apart, as a share of the step by the host's clock;
    None where one pass alone was timed. A growing cache meets the lengths of `wall` for the first time, so that there
    `revisit` is the host's. The profiled pass counts where it is the shortest: a profiler makes no step quicker."""
    host_ms = _median("revisit" if lookup(record, "passes.revisit") else "wall")(record)
    span_ms, rate_ms = _median("span")(record), _rate(record)
    if host_ms is None or span_ms is None or rate_ms is None:
        return None
    profiled_ms = _median("busy", "span_ms")(record)
    shortest = min(host_ms, span_ms, rate_ms, host_ms if profiled_ms is None else profiled_ms)
    return (max(host_ms, span_ms, rate_ms) - shortest) / host_ms


def _worst(field: str) -> Formula:
    def formula(record: Record) -> float | None:
        checks = lookup(record, "gate.checks")
        return max(max(check[field]) for check in checks) if checks else None

    return formula


def _of_gate(formula: Callable[[Record], float | None]) -> Formula:
    return lambda record: formula(record["gate"]) if lookup(record, "gate.checks") else None


def _kernel_sum(record: Record) -> float | None:
    """Of a profiled step, its kernels' durations added up; where kernels overlap it is longer than they are busy."""
    kernels = lookup(record, "kernels")
    return sum(kernel["us"] for kernel in kernels) / 1000 if kernels else None


def _fixed_cost(record: Record) -> float | None:
    """Seconds from the command to the record, all but prefill, the timed passes and torch.compile's own time; the gate
    is included."""
    costs = lookup(record, "cost_s")
    return costs["total"] - costs["prefill"] - costs["steps"] - costs.get("compile", 0.0) if costs else None


METRICS: tuple[Metric, ...] = (
    Metric("cell.ctx", "cell/ctx", "tokens"),
    Metric("bytes.weights", "bytes/weights", "B"),
    Metric("bytes.embedding", "bytes/embedding", "B", _embedding_bytes),
    Metric("bytes.kv", "bytes/kv", "B", _kv_bytes),
    Metric("bytes.kv_alloc_tokens", "bytes/kv_alloc_tokens", "tokens", _kv_alloc_tokens),
    Metric("bytes.paper", "bytes/paper", "B", _bytes_paper),
    Metric("bytes.streamed", "bytes/streamed", "B", _bytes_streamed),
    Metric("bytes.touched", "bytes/touched", "B", _bytes_touched),
    Metric("probes.read_gbs", "probe/read_gbs", "GB/s", _best_read),
    Metric("probes.launch_us", "probe/launch_us", "us", _launch),
    # Of a dynamic-cache cell only step_wall_ms and what follows from it is over context lengths that the process meets
    # for the first time: revisit, span, rate and busy run over the same lengths again (docs/methodology.md, "Clocks").
    Metric("latency.step_wall_ms", "latency/step_wall_ms", "ms", _median("wall")),
    Metric("latency.step_wall_revisit_ms", "latency/step_wall_revisit_ms", "ms", _median("revisit")),
    Metric("latency.step_span_ms", "latency/step_span_ms", "ms", _median("span")),
    Metric("latency.step_rate_ms", "latency/step_rate_ms", "ms", _rate),
    Metric("latency.step_busy_ms", "latency/step_busy_ms", "ms", _median("busy")),
    Metric("latency.profiled_span_ms", "latency/profiled_span_ms", "ms", _median("busy", "span_ms")),
    Metric("latency.step_wall_p90_ms", "latency/step_wall_p90_ms", "ms", _tail(90)),
    Metric("latency.step_wall_p95_ms", "latency/step_wall_p95_ms", "ms", _tail(95)),
    Metric("latency.step_wall_p99_ms", "latency/step_wall_p99_ms", "ms", _tail(99)),
    Metric("latency.drift", "latency/drift", "1", _drift),
    Metric("latency.tokens_per_s", "latency/tokens_per_s", "1/s", _tokens_per_s),
    Metric("latency.kernels_per_step", "latency/kernels_per_step", "1", _median("busy", "kernels")),
    Metric("latency.kernel_sum_ms", "latency/kernel_sum_ms", "ms", _kernel_sum, stored=False),
    Metric("latency.passes_disagreement", "latency/passes_disagreement", "1", passes_disagreement, stored=False),
    Metric("prefill.ms", "latency/prefill_ms", "ms"),
    Metric("floor.floor_ms", "floor/floor_ms", "ms", _floor("bytes.streamed", "gpu.bandwidth_gbs")),
    Metric("floor.floor_paper_ms", "floor/floor_paper_ms", "ms", _floor("bytes.paper", "gpu.bandwidth_gbs")),
    Metric("floor.floor_achievable_ms", "floor/floor_achievable_ms", "ms", _floor("bytes.streamed", "probes.read_gbs")),
    Metric("floor.r_floor", "floor/r_floor", "1", _quotient("floor.floor_ms", "latency.step_wall_ms")),
    Metric(
        "floor.r_floor_paper", "floor/r_floor_paper", "1", _quotient("floor.floor_paper_ms", "latency.step_wall_ms")
    ),
    Metric(
        "floor.r_floor_achievable",
        "floor/r_floor_achievable",
        "1",
        _quotient("floor.floor_achievable_ms", "latency.step_wall_ms"),
    ),
    Metric("gate.trusted_error", "gate/trusted_error", "1", _worst("trusted")),
    Metric("gate.error", "gate/error", "1", _worst("errors")),
    Metric("gate.bound", "gate/bound", "1", _of_gate(gaterules.bound)),
    Metric("gate.ratio", "gate/ratio", "1", _of_gate(gaterules.worst_ratio)),
    Metric("gate.regret", "gate/regret", "1", _of_gate(gaterules.worst_regret)),
    Metric("gate.repeatable", "gate/repeatable", "1", _of_gate(gaterules.repeatable)),
    Metric("memory.peak_bytes", "memory/peak", "B"),
    Metric("memory.verify_extra_bytes", "memory/verify_extra", "B"),
    Metric("cost_s.fixed", "cost/fixed_s", "s", _fixed_cost),
    Metric("cost_s.compile", "cost/compile_s", "s"),
    Metric("cost_s.prefill", "cost/prefill_s", "s"),
    Metric("cost_s.steps", "cost/steps_s", "s"),
    Metric("snapshots.before.temperature_c", "gpu/temperature_before_c", "C"),
    Metric("snapshots.after.temperature_c", "gpu/temperature_after_c", "C"),
    Metric("snapshots.before.power_w", "gpu/power_before_w", "W"),
    Metric("snapshots.after.power_w", "gpu/power_after_w", "W"),
    Metric("snapshots.before.sm_clock_mhz", "gpu/sm_clock_before_mhz", "MHz"),
    Metric("snapshots.after.sm_clock_mhz", "gpu/sm_clock_after_mhz", "MHz"),
    Metric("snapshots.before.memory_clock_mhz", "gpu/memory_clock_before_mhz", "MHz"),
    Metric("snapshots.after.memory_clock_mhz", "gpu/memory_clock_after_mhz", "MHz"),
    Metric("snapshots.before.memory_used_bytes", "gpu/memory_used_before", "B"),
    Metric("snapshots.after.memory_used_bytes", "gpu/memory_used_after", "B"),
    Metric("snapshots.before.utilisation_percent", "gpu/utilisation_before_percent", "%"),
    Metric("snapshots.after.utilisation_percent", "gpu/utilisation_after_percent", "%"),
)

STEP_SERIES = ("passes.wall.steps_ms", "latency/step_wall_series_ms")


def derived() -> Iterator[tuple[Metric, Formula]]:
    """The stored metrics with a formula, in an order in which each needs only earlier ones and raw values."""
    for metric in METRICS:
        if metric.formula is not None and metric.stored:
            yield metric, metric.formula


def derive(record: dict[str, Any]) -> None:
    """Fill in every derived value of a measured record, in place."""
    for metric, formula in derived():
        *parents, leaf = metric.path.split(".")
        target = record
        for parent in parents:
            target = target.setdefault(parent, {})
        target[leaf] = formula(record)


def values(record: Record) -> dict[str, float]:
    """MLflow name → value of every metric the record has; empty series and nulls are left out."""
    found = ((metric.name, metric.value(record)) for metric in METRICS)
    return {name: value for name, value in found if value is not None}
