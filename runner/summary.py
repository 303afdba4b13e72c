"""The lines that a person reads after a session, made from its record."""

from __future__ import annotations

from collections.abc import Iterator

from runner.cell.fieldtypes import known
from runner.record.sections.gate import GateVersion1, GateVersion2
from runner.record.sections.quantities import Floor
from runner.record.sessionrecord import MeasuredRecord, SessionRecord


def lines(record: SessionRecord) -> Iterator[str]:
    """Yields the session in a few lines; for one without a measurement, how it ended."""
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
    ratio = known(gate.ratio)
    if isinstance(gate, GateVersion1) or ratio is None:
        return f"error {gate.error:.2e}, bound {gate.bound:.2e}"
    steps = sum(len(each.chosen) for each in gate.tokens)
    return f"error {gate.error:.2e}, {ratio:.2f} times that of trusted eager; {steps} timed tokens checked"


def _floor(floor: Floor) -> str:
    datasheet = _against(floor.floor_ms, "r_floor", floor.r_floor, "of the datasheet's bandwidth")
    achievable = _against(
        floor.floor_achievable_ms, "r_floor_achievable", floor.r_floor_achievable, "of the bandwidth read here"
    )
    return "; ".join(filter(None, (datasheet, achievable))) or "unknown"


def _against(floor_ms: float | None, name: str, ratio: float | None, what: str) -> str:
    return "" if floor_ms is None or ratio is None else f"{floor_ms:.3f} ms {what} ({name} {ratio:.3f})"
