"""The numbers that follow from a session's raw values: bytes, probes, latency, floor, the gate's findings, cost.

The worker derives each section once. `runner verify` derives all of them again (`rederived`) and compares. A number is
None if the raw values do not support it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from runner.cell import floors
from runner.cell.cell import Cell
from runner.cell.fieldtypes import Absent, value_or_none
from runner.cell.protocol import Protocol
from runner.cell.shape import ModelShape
from runner.record import energy, gaterules, quantiles
from runner.record.sections.energy import Energy
from runner.record.sections.passes import Passes, StepwisePass
from runner.record.sections.quantities import Bytes, Floor, Latency
from runner.record.sections.surroundings import Cost, Probes
from runner.record.sessionrecord import MeasuredRecord


def rederived(record: MeasuredRecord) -> MeasuredRecord:
    """Returns the record with every derived number computed again from its raw values."""
    stored, samples = record.bytes, record.probes
    sizes = bytes_of(record.cell, record.protocol, record.model.shape, stored.weights, measured=stored.weights_measured)
    speeds = probes(samples.read_bytes, samples.read_samples_gbs, samples.launch_samples_us)
    times = latency(record.passes, record.protocol)
    return replace(
        record,
        bytes=sizes,
        probes=speeds,
        latency=times,
        floor=floor(sizes, record.gpu.bandwidth_gbs, speeds.read_gbs, times.step_wall_ms),
        gate=gaterules.gate(record.gate),
        cost_s=replace(record.cost_s, fixed=fixed_cost(record.cost_s)),
        energy=energy.derived(record.energy) if isinstance(record.energy, Energy) else record.energy,
    )


def bytes_of(cell: Cell, protocol: Protocol, shape: ModelShape, weights: int, measured: int) -> Bytes:
    """Returns the bytes of a step. `weights` is the number of bytes that the format stores, `measured` the number found
    on the device."""
    dtype_bytes = floors.DTYPE_BYTES[cell.dtype]
    embedding, per_token = floors.embedding_bytes(shape, dtype_bytes), floors.kv_bytes_per_token(shape, dtype_bytes)
    kv = float(per_token * cell.ctx)
    allocated = floors.kv_alloc_tokens(cell.ctx, protocol.warmup, protocol.steps)
    # a static cache is read as a whole
    kv_touched = kv if cell.cache == "dynamic" else per_token * allocated
    return Bytes(
        weights=weights,
        weights_measured=measured,
        embedding=embedding,
        kv=kv,
        kv_alloc_tokens=allocated,
        paper=floors.bytes_paper(weights, kv),
        streamed=floors.bytes_streamed(weights, embedding, kv),
        touched=floors.bytes_streamed(weights, embedding, kv_touched),
    )


def probes(read_bytes: int, read_samples_gbs: Sequence[float], launch_samples_us: Sequence[float]) -> Probes:
    """Returns the section of the two probes. Each read sample, in GB/s, reads `read_bytes`; launch samples are in
    µs."""
    return Probes(
        read_bytes=read_bytes,
        read_samples_gbs=tuple(read_samples_gbs),
        launch_samples_us=tuple(launch_samples_us),
        read_gbs=max(read_samples_gbs),
        launch_us=median(launch_samples_us) if launch_samples_us else None,
    )


def latency(passes: Passes, protocol: Protocol) -> Latency:
    """Returns the times of a step in ms, each the median of its own pass.

    With a dynamic cache, `step_wall_ms` and the numbers that follow from it are over context lengths that the process
    meets for the first time. Revisit, span, rate and busy run over the same lengths again (docs/methodology.md,
    "Clocks").
    """
    wall_ms, busy = passes.wall.steps_ms, value_or_none(passes.busy)
    step_ms = median(wall_ms)
    return Latency(
        step_wall_ms=step_ms,
        step_wall_revisit_ms=median_ms(passes.revisit),
        step_span_ms=median_ms(passes.span),
        step_rate_ms=rate_ms(passes, protocol),
        step_busy_ms=median_ms(passes.busy),
        profiled_span_ms=None if busy is None else median(busy.span_ms),
        step_wall_p90_ms=quantiles.tail_bound(wall_ms, 90),
        step_wall_p95_ms=quantiles.tail_bound(wall_ms, 95),
        step_wall_p99_ms=quantiles.tail_bound(wall_ms, 99),
        drift=quantiles.drift(wall_ms),
        tokens_per_s=1000 / step_ms if step_ms else None,
        kernels_per_step=None if busy is None else median(busy.kernels),
    )


def median_ms(timed: StepwisePass | Absent) -> float | None:
    """Returns the median step of a pass in ms; None if the pass is absent."""
    return None if isinstance(timed, Absent) else median(timed.steps_ms)


def rate_ms(passes: Passes, protocol: Protocol) -> float | None:
    """Returns the ms of a step in the pass without read-back; None if the pass is absent."""
    return None if isinstance(passes.rate, Absent) else passes.rate.total_ms / protocol.other_steps


def floor(sizes: Bytes, peak_gbs: float | None, read_gbs: float, step_ms: float) -> Floor:
    """Returns three floors of a step in ms, and each divided by `step_ms`.

    They are the streamed bytes at `peak_gbs` (datasheet), the paper's bytes at `peak_gbs`, and the streamed bytes at
    `read_gbs` (read probe). The first two are None without a datasheet.
    """
    floor_ms, paper_ms = _floor_ms(sizes.streamed, peak_gbs), _floor_ms(sizes.paper, peak_gbs)
    achievable_ms = _floor_ms(sizes.streamed, read_gbs)
    return Floor(
        floor_ms=floor_ms,
        floor_paper_ms=paper_ms,
        floor_achievable_ms=achievable_ms,
        r_floor=_share(floor_ms, step_ms),
        r_floor_paper=_share(paper_ms, step_ms),
        r_floor_achievable=_share(achievable_ms, step_ms),
    )


def _floor_ms(step_bytes: float, bandwidth_gbs: float | None) -> float | None:
    return floors.floor_ms(step_bytes, bandwidth_gbs) if bandwidth_gbs else None


def _share(floor_ms: float | None, step_ms: float) -> float | None:
    return None if floor_ms is None or not step_ms else floor_ms / step_ms


def cost(seconds: Mapping[str, float]) -> Cost:
    """Returns the section of the seconds of each phase, rounded to the millisecond; `total` is one of them."""
    rounded = {("import_" if phase == "import" else phase): round(value, 3) for phase, value in seconds.items()}
    phases = Cost(**rounded)
    return replace(phases, fixed=fixed_cost(phases))


def fixed_cost(phases: Cost) -> float:
    """Returns the seconds from the command to the record, minus prefill, the timed passes, torch.compile and the pass
    that measures energy. The gate is included."""
    measured = phases.prefill + phases.steps + (value_or_none(phases.energy) or 0.0)
    return phases.total - measured - (value_or_none(phases.compile) or 0.0)
