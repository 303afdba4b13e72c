"""The summary of a session, made from its record."""

from __future__ import annotations

from collections.abc import Iterator

from runner.cell.fieldtypes import value_or_none
from runner.record.sections.gate import GateVersion1, GateVersion2
from runner.record.sections.quantities import Floor
from runner.record.sessionrecord import MeasuredRecord, SessionRecord


def lines(record: SessionRecord) -> Iterator[str]:
    """Yields the lines of the summary. For a session without a measurement they say how it ended."""
    yield f"{record.cell.title} (session {record.session.id})"
    if not isinstance(record, MeasuredRecord):
        yield f"  {record.outcome.status}: {record.outcome.message}"
        return
    yield f"  step      {record.latency.step_wall_ms:.3f} ms, {record.latency.tokens_per_s:.1f} tokens/s"
    yield f"  floor     {_floor(record.floor)}"
    yield f"  gate      {_gate(record.gate)}"
    yield f"  valid     {'yes' if record.valid else 'NO: ' + '; '.join(record.reasons)}"
    if record.flags:
        yield f"  flags     {', '.join(record.flags)}"


def _gate(gate: GateVersion1 | GateVersion2) -> str:
    ratio = value_or_none(gate.ratio)
    if isinstance(gate, GateVersion1) or ratio is None:
        return f"error {gate.error:.2e}, bound {gate.bound:.2e}"
    steps = sum(len(each.chosen) for each in gate.tokens)
    return f"error {gate.error:.2e}, {ratio:.2f} times that of trusted eager; {steps} timed tokens checked"


def _floor(floor: Floor) -> str:
    datasheet = _floor_and_ratio(floor.floor_ms, "r_floor", floor.r_floor, "at the datasheet's bandwidth")
    achievable = _floor_and_ratio(
        floor.floor_achievable_ms, "r_floor_achievable", floor.r_floor_achievable, "at the bandwidth measured here"
    )
    return "; ".join(filter(None, (datasheet, achievable))) or "unknown"


def _floor_and_ratio(floor_ms: float | None, name: str, ratio: float | None, bandwidth: str) -> str:
    return "" if floor_ms is None or ratio is None else f"{floor_ms:.3f} ms {bandwidth} ({name} {ratio:.3f})"
