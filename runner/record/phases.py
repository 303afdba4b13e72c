"""Phases of a step that is one kernel: its busy time by phase, and the part of it beyond reading the phase's bytes."""

from __future__ import annotations

from dataclasses import fields
from statistics import median

from runner.cell import floors
from runner.cell.fieldtypes import Absent
from runner.record.sections.passes import Phases
from runner.record.sessionrecord import MeasuredRecord

NAMES = tuple(field.name for field in fields(Phases))
EXCHANGES = "exchanges"


def beyond_ms(record: MeasuredRecord) -> dict[str, float]:
    """Returns the ms of each phase beyond the time to read its bytes at the measured read bandwidth.

    They add up to the busy time minus the achievable floor. A phase whose bytes were read ahead, while an earlier one
    waited, has less than nothing. Empty if the record has no phases.
    """
    busy_ms = record.latency.step_busy_ms
    if isinstance(record.phases, Absent) or busy_ms is None:
        return {}
    times_ms, sizes = phase_ms(record.phases, busy_ms), phase_bytes(record)
    return {name: times_ms[name] - floors.floor_ms(sizes[name], record.probes.read_gbs) for name in NAMES}


def phase_ms(phases: Phases, busy_ms: float) -> dict[str, float]:
    """Returns the ms of each phase, which add up to `busy_ms`: its share of the clocks, by the medians over steps."""
    clocks = {name: median(getattr(phases, name)) for name in NAMES}
    whole = sum(clocks.values())
    return {name: busy_ms * value / whole for name, value in clocks.items()}


def phase_bytes(record: MeasuredRecord) -> dict[str, float]:
    """Returns the streamed bytes of each phase. The rest counts as exchanges: norms, biases, a row of the embedding."""
    shape, width = record.model.shape, floors.DTYPE_BYTES[record.cell.dtype]
    values = {
        "qkv": shape.layers * shape.hidden * (shape.q_width + 2 * shape.kv_width),
        "attention": shape.layers * 2 * shape.kv_width * record.cell.ctx,
        "out": shape.layers * shape.q_width * shape.hidden,
        "gate_up": shape.layers * 2 * shape.intermediate * shape.hidden,
        "down": shape.layers * shape.hidden * shape.intermediate,
        "head": shape.vocab * shape.hidden,
    }
    sizes = {name: count * width for name, count in values.items()}
    return {**sizes, EXCHANGES: record.bytes.streamed - sum(sizes.values())}
