"""What a person reads after a session: a few lines from its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runner.cell.cell import Cell
from runner.record import record
from runner.record.metrics import lookup

Record = Mapping[str, Any]


def lines(found: Record) -> Iterator[str]:
    """The session in a few lines; of one without a measurement, what became of it."""
    yield f"{Cell.from_json(dict(found['cell'])).title} (session {found['session']['id']})"
    if not record.is_measured(found):
        yield f"  {found['outcome']['status']}: {found['outcome']['message']}"
        return
    yield f"  step      {_number(found, 'latency.step_wall_ms', 'ms')}, {_tokens_per_s(found)}"
    yield f"  floor     {_floor(found)}"
    yield f"  gate      {_gate(found)}"
    yield f"  valid     {'yes' if found['valid'] else 'NO: ' + '; '.join(found['reasons'])}"
    if found["flags"]:
        yield f"  flags     {', '.join(found['flags'])}"


def _gate(found: Record) -> str:
    error = f"error {_small(found, 'gate.error')}"
    if lookup(found, "gate.ratio") is None:
        return f"{error}, bound {_small(found, 'gate.bound')}"
    steps = sum(len(each["chosen"]) for each in found["gate"]["tokens"])
    return f"{error}, {lookup(found, 'gate.ratio'):.2f} times that of trusted eager; {steps} timed tokens checked"


def _floor(found: Record) -> str:
    datasheet = _against(found, "floor.floor_ms", "floor.r_floor", "of the datasheet's bandwidth")
    achievable = _against(found, "floor.floor_achievable_ms", "floor.r_floor_achievable", "of the bandwidth read here")
    return "; ".join(filter(None, (datasheet, achievable))) or "unknown"


def _against(found: Record, floor: str, ratio: str, what: str) -> str:
    if lookup(found, ratio) is None:
        return ""
    name = ratio.rpartition(".")[2]
    return f"{_number(found, floor, 'ms')} {what} ({name} {lookup(found, ratio):.3f})"


def _tokens_per_s(found: Record) -> str:
    return f"{lookup(found, 'latency.tokens_per_s'):.1f} tokens/s"


def _number(found: Record, path: str, unit: str) -> str:
    return f"{lookup(found, path):.3f} {unit}"


def _small(found: Record, path: str) -> str:
    return f"{lookup(found, path):.2e}"
