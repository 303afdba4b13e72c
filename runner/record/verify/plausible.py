"""Times, memory and probes: nothing else is derived from them, and yet they cannot be anything."""

from __future__ import annotations

from collections.abc import Iterator

from runner.cell import floors
from runner.cell.fieldtypes import known
from runner.cell.jsonform import stated
from runner.cell.vocabulary import CUDA
from runner.record import heldbytes, judgement
from runner.record.line import above, below, shown
from runner.record.sections.gate import GateVersion2
from runner.record.sections.passes import BusyPass, RatePass
from runner.record.sections.quantities import Held
from runner.record.sections.surroundings import Cost
from runner.record.sessionrecord import MeasuredRecord
from runner.record.verify.passes import TimedPass, device_kind, timed

PHASES = ("probe", "build", "reference", "verify")  # those besides that the schema asks for
NO_PHASES = ("total", "fixed")
MUST_HOLD = {"weights": "the weights", "kernel": "the kernel's weights", "step": "those and the cache"}
SLACK_S, PHASE_SLACK_S = 1.0, 0.05  # between two clocks that are read on a busy host, and within one clock


def differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each figure that this machine, or any, cannot have had."""
    counts_held = device_kind(record.cell) == CUDA and isinstance(record.gate, GateVersion2)
    if bool(record.memory.held_bytes) != counts_held:
        yield f"memory.held_bytes: {'missing' if counts_held else 'there, though this session counted none'}"
    yield from _held_differences(record)
    yield from _peak_differences(record)
    yield from _probe_differences(record)
    yield from _prefill_differences(record)
    phases = _phases(record.cost_s)
    if missing := [phase for phase in PHASES if phase not in phases]:
        yield f"cost_s: without {', '.join(missing)}"
    else:
        yield from _cost_differences(record)
        yield from _period_differences(record)


def _held_differences(record: MeasuredRecord) -> Iterator[str]:
    """Weights that were measured and the cache of this context are held, and all of it is no more than the peak."""
    held = record.memory.held_bytes
    if not held:
        return
    stages: dict[str, Held] = dict(stated(held))
    for stage, least in heldbytes.required(record).items():
        yield from below(f"memory.held_bytes.{stage}", stages[stage].allocator, least, MUST_HOLD[stage])
    if held.step.allocator > record.memory.peak_bytes:
        yield f"memory.held_bytes.step: {held.step.allocator}, more than the peak"
    scratch = (known(record.actual.settings) or {}).get(heldbytes.SCRATCH)
    if scratch is not None and not scratch.isdecimal():
        yield f"actual.settings.{heldbytes.SCRATCH}: {shown(scratch)} is no number of bytes"


def _peak_differences(record: MeasuredRecord) -> Iterator[str]:
    """Weights and KV cache were in memory together, and memory holds no more than there is."""
    peak = record.memory.peak_bytes
    least = record.bytes.weights_measured + _cache_bytes(record)
    yield from below("memory.peak_bytes", peak, least, "weights and KV cache")
    if available := record.gpu.memory_bytes or record.host.memory_bytes:
        yield from above("memory.peak_bytes", peak, available, "the device has")
    if record.memory.verify_extra_bytes is None and device_kind(record.cell) == CUDA:
        yield "memory.verify_extra_bytes: missing"


def _cache_bytes(record: MeasuredRecord) -> int:
    """A static cache has all of its rows from the start, a growing one those of the context at least."""
    per_token = int(record.bytes.kv) // record.cell.ctx
    tokens = record.bytes.kv_alloc_tokens if record.cell.cache == "static" else record.cell.ctx
    return int(per_token * tokens)


def _probe_differences(record: MeasuredRecord) -> Iterator[str]:
    """The read probe reads past the cache, and no faster than the datasheet allows."""
    probes, peak = record.probes, record.gpu.bandwidth_gbs
    at_least = floors.PROBE_CACHES * (record.gpu.last_level_cache_bytes or 0)
    if probes.read_bytes < at_least:
        yield f"probes.read_bytes: {probes.read_bytes}, at least {at_least} are read past the cache"
    if peak is not None:
        most = peak * judgement.R_FLOOR_LIMIT
        yield from above("probes.read_samples_gbs", max(probes.read_samples_gbs), most, "the datasheet's peak")
    launches = floors.PROBE_SAMPLES if device_kind(record.cell) == CUDA else 0
    for name, samples, count in (
        ("read_samples_gbs", probes.read_samples_gbs, floors.PROBE_SAMPLES),
        ("launch_samples_us", probes.launch_samples_us, launches),
    ):
        if len(samples) != count:
            yield f"probes.{name}: {len(samples)} samples, the probe takes {count}"


def _prefill_differences(record: MeasuredRecord) -> Iterator[str]:
    """A prompt's tokens need every weight once."""
    counted = record.bytes
    least = judgement.least_ms(record, counted.weights - counted.embedding)
    for name, took_ms in (("cold_ms", record.prefill.cold_ms), ("ms", record.prefill.ms)):
        yield from below(f"prefill.{name}", took_ms, least, "reading the weights once takes")


def _phases(costs: Cost) -> dict[str, float]:
    """Returns the seconds of each phase that a record has."""
    return {phase: seconds for phase, seconds in stated(costs) if phase not in NO_PHASES}


def _cost_differences(record: MeasuredRecord) -> Iterator[str]:
    """Phases follow one another, and each lasts as long as what was timed in it."""
    costs, prefill = record.cost_s, record.prefill
    yield from above("cost_s", sum(_phases(costs).values()), costs.total + SLACK_S, "its total")
    prefill_s = (prefill.cold_ms + prefill.ms) / 1e3
    yield from below("cost_s.prefill", costs.prefill + PHASE_SLACK_S, prefill_s, "both prefills took")
    timed_s = sum(_total_ms(window) for window in timed(record.passes).values()) / 1e3
    yield from below("cost_s.steps", costs.steps + PHASE_SLACK_S, timed_s, "the timed passes took")


def _total_ms(window: TimedPass) -> float:
    if isinstance(window, RatePass):
        return window.total_ms
    return sum(window.span_ms if isinstance(window, BusyPass) else window.steps_ms)


def _period_differences(record: MeasuredRecord) -> Iterator[str]:
    """The session's clock and the card's snapshots agree on when it was, and for how long."""
    started, finished, total_s = record.session.started_ms, record.session.finished_ms, record.cost_s.total
    if finished < started:
        yield "session.finished_ms: before it began"
    elif abs((finished - started) / 1e3 - total_s) > SLACK_S:
        yield f"session.finished_ms: {(finished - started) / 1e3:g} s after it began, cost_s.total is {total_s:g}"
    moments = [record.snapshots.before.taken_ms, record.snapshots.after.taken_ms]
    ordered = [started, *moments, finished]
    if finished >= started and ordered != sorted(ordered):
        yield f"snapshots: taken at {', '.join(map(str, moments))}, not within the session, one after the other"
