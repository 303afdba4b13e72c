"""Checks times, memory and probes against physical limits, and against each other."""

from __future__ import annotations

from collections.abc import Iterator

from runner import registry
from runner.cell import floors
from runner.cell.fieldtypes import ABSENT, value_or_none
from runner.cell.jsonform import present_fields
from runner.cell.vocabulary import CUDA
from runner.plan import fit
from runner.record import heldbytes, judgement
from runner.record.line import short_repr, too_large, too_small
from runner.record.sections.gate import GateVersion2
from runner.record.sections.passes import BusyPass, RatePass, TimedPass, timed_passes
from runner.record.sections.quantities import Held
from runner.record.sections.surroundings import Cost
from runner.record.sessionrecord import MeasuredRecord
from runner.record.verify.passes import device_kind

PHASES = ("probe", "build", "reference", "verify")  # phases that every measured session has, optional in the schema
NO_PHASES = ("total", "fixed")
MUST_HOLD = {"weights": "the weights", "kernel": "the kernel's weights", "step": "weights and cache"}
OLDER_CHUNK_TOKENS = 2048
"""Largest chunk of the prompt in older code; runtimes now declare theirs."""
UNCOUNTED_BYTES = 2**28
"""Most bytes that neither held bytes nor the estimate of a prefill include: workspaces that torch's libraries allocate
before the weights are loaded, and logits of the gate's checks."""
PREFILL_TOLERANCE = 2
"""Largest ratio of a prefill's activations to their estimate (`fit.prefill_bytes`)."""
SLACK_S, PHASE_SLACK_S = 1.0, 0.05  # tolerance between two clocks on a busy host, and within one clock


def differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each figure that is impossible on this machine, or on any."""
    counts_held = device_kind(record.cell) == CUDA and isinstance(record.gate, GateVersion2)
    if bool(record.memory.held_bytes) != counts_held:
        yield f"memory.held_bytes: {'missing' if counts_held else 'present, but no session of this kind counts them'}"
    yield from _held_differences(record)
    yield from _peak_differences(record)
    yield from _prefill_peak_differences(record)
    yield from _probe_differences(record)
    yield from _prefill_differences(record)
    phases = _phases(record.cost_s)
    if missing := [phase for phase in PHASES if phase not in phases]:
        yield f"cost_s: without {', '.join(missing)}"
    else:
        yield from _cost_differences(record)
        yield from _period_differences(record)


def _held_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each stage that holds less than weights and cache, and if the built step exceeds the peak."""
    held = record.memory.held_bytes
    if not held:
        return
    stages: dict[str, Held] = dict(present_fields(held))
    for stage, least in heldbytes.required_bytes(record).items():
        yield from too_small(f"memory.held_bytes.{stage}", stages[stage].allocator, least, MUST_HOLD[stage])
    if held.step.allocator > record.memory.peak_bytes:
        yield f"memory.held_bytes.step: {held.step.allocator}, more than the peak ({record.memory.peak_bytes})"
    scratch = (value_or_none(record.actual.settings) or {}).get(heldbytes.SCRATCH)
    if scratch is not None and not scratch.isdecimal():
        yield f"actual.settings.{heldbytes.SCRATCH}: {short_repr(scratch)} is not a number of bytes"


def _peak_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line if the peak is less than weights and KV cache, or more than the device's memory."""
    peak = record.memory.peak_bytes
    least = record.bytes.weights_measured + _cache_bytes(record)
    yield from too_small("memory.peak_bytes", peak, least, "weights and KV cache")
    if available := record.gpu.memory_bytes or record.host.memory_bytes:
        yield from too_large("memory.peak_bytes", peak, available, "the device has")
    if (of_steps := record.memory.steps_peak_bytes) is not ABSENT:
        yield from too_small("memory.steps_peak_bytes", of_steps, least, "weights and KV cache")
        yield from too_large("memory.steps_peak_bytes", of_steps, peak, "the session's peak")
    if record.memory.verify_extra_bytes is None and device_kind(record.cell) == CUDA:
        yield "memory.verify_extra_bytes: missing"


def _prefill_peak_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each peak beyond what the built step of one kernel holds and its prefill takes.

    Such a step allocates nothing, and a request cannot choose the prefill's attention. Therefore the prefill's
    activations decide. In committed sessions, the peak is 0.71 to 0.92 times their estimate above the held bytes.
    """
    held, runtime = value_or_none(record.memory.held_bytes), registry.runtime(record.cell.runtime).DECLARATION
    if held is None or runtime.kernels_per_step is None:
        return
    chunk = max(runtime.prefill_chunk_tokens, OLDER_CHUNK_TOKENS)
    width = floors.DTYPE_BYTES[record.cell.dtype]
    activations = fit.prefill_bytes(record.model.shape, record.cell.ctx, width, chunk)
    most = held.step.allocator + UNCOUNTED_BYTES + PREFILL_TOLERANCE * activations
    for name, peak in (
        ("peak_bytes", record.memory.peak_bytes),
        ("steps_peak_bytes", value_or_none(record.memory.steps_peak_bytes)),
    ):
        yield from too_large(f"memory.{name}", peak, most, "the built step and its prefill take")


def _cache_bytes(record: MeasuredRecord) -> int:
    """Returns the least bytes of the cache: all rows of a static cache, the rows of the context of a dynamic one."""
    per_token = int(record.bytes.kv) // record.cell.ctx
    tokens = record.bytes.kv_alloc_tokens if record.cell.cache == "static" else record.cell.ctx
    return int(per_token * tokens)


def _probe_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields the faults of the probes: too few bytes or samples, or a read faster than the datasheet allows."""
    probes, peak = record.probes, record.gpu.bandwidth_gbs
    least = floors.PROBE_CACHES * (record.gpu.last_level_cache_bytes or 0)
    if probes.read_bytes < least:
        yield f"probes.read_bytes: {probes.read_bytes}, less than {floors.PROBE_CACHES} times the cache ({least})"
    if peak is not None:
        most = peak * judgement.R_FLOOR_LIMIT
        yield from too_large("probes.read_samples_gbs", max(probes.read_samples_gbs), most, "the datasheet's peak")
    launches = floors.PROBE_SAMPLES if device_kind(record.cell) == CUDA else 0
    for name, samples, count in (
        ("read_samples_gbs", probes.read_samples_gbs, floors.PROBE_SAMPLES),
        ("launch_samples_us", probes.launch_samples_us, launches),
    ):
        if len(samples) != count:
            yield f"probes.{name}: {len(samples)} samples, the probe takes {count}"


def _prefill_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each prefill that is faster than reading all weights once."""
    counted = record.bytes
    least = judgement.least_ms(record, counted.weights - counted.embedding)
    for name, took_ms in (("cold_ms", record.prefill.cold_ms), ("ms", record.prefill.ms)):
        yield from too_small(f"prefill.{name}", took_ms, least, "reading the weights once takes")


def _phases(costs: Cost) -> dict[str, float]:
    """Returns the seconds of each phase that a record has."""
    return {phase: seconds for phase, seconds in present_fields(costs) if phase not in NO_PHASES}


def _cost_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line if the phases add up to more than their total, or if a phase is shorter than the times measured in
    it."""
    costs, prefill = record.cost_s, record.prefill
    yield from too_large("cost_s", sum(_phases(costs).values()), costs.total + SLACK_S, "its total")
    prefill_s = (prefill.cold_ms + prefill.ms) / 1e3
    yield from too_small("cost_s.prefill", costs.prefill + PHASE_SLACK_S, prefill_s, "both prefills took")
    timed_s = sum(_total_ms(window) for window in timed_passes(record.passes).values()) / 1e3
    yield from too_small("cost_s.steps", costs.steps + PHASE_SLACK_S, timed_s, "the timed passes took")


def _total_ms(window: TimedPass) -> float:
    if isinstance(window, RatePass):
        return window.total_ms
    return sum(window.span_ms if isinstance(window, BusyPass) else window.steps_ms)


def _period_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line if start, end, total and the times of the snapshots do not agree."""
    started, finished, total_s = record.session.started_ms, record.session.finished_ms, record.cost_s.total
    if finished < started:
        yield "session.finished_ms: before session.started_ms"
    elif abs((finished - started) / 1e3 - total_s) > SLACK_S:
        yield (
            f"session.finished_ms: {(finished - started) / 1e3:g} s after session.started_ms, but cost_s.total is "
            f"{total_s:g}"
        )
    moments = [record.snapshots.before.taken_ms, record.snapshots.after.taken_ms]
    ordered = [started, *moments, finished]
    if finished >= started and ordered != sorted(ordered):
        yield f"snapshots: taken at {', '.join(map(str, moments))}, not in order or not within the session"
