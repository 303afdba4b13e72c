"""Sessions of the command line without a worker: they end with given records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.cell.cell import Cell
from runner.commands import measuring
from runner.launch import session
from runner.record.sessionrecord import MeasuredRecord, SessionRecord
from tests.support.derive import typed
from tests.support.records import cpu_record, of_gate_version_1


def fake_session(monkeypatch: pytest.MonkeyPatch, *records: SessionRecord) -> list[tuple[Any, ...]]:
    """Sessions that end with these records, one after the other; collects the calls."""
    calls: list[tuple[Any, ...]] = []
    waiting = list(records)

    def run_session(*arguments: Any) -> session.Finished:
        calls.append(arguments)
        return session.Finished(waiting.pop(0), Path("/spool/r.json"))

    monkeypatch.setattr(measuring, "run_session", run_session)
    return calls


CELL = Cell(
    gpu="cpu", model="tiny", ctx=64, quant="bf16", kernel="torch-cpu", runtime="eager", attention="sdpa",
    cache="dynamic", dtype="bf16", weights_id="synthetic-v1",
)  # fmt: skip


MEASURED = typed(of_gate_version_1(cpu_record()))


def measured(valid: bool = True, **gpu: Any) -> MeasuredRecord:
    return replace(
        MEASURED,
        session=replace(MEASURED.session, id="0123", index=0),
        cell=CELL,
        valid=valid,
        reasons=() if valid else ("gate ctx: logit error 1 exceeds the bound 0.03",),
        flags=("drifting",),
        gpu=replace(MEASURED.gpu, **gpu),
        latency=replace(MEASURED.latency, step_wall_ms=2.0, tokens_per_s=500.0),
        floor=replace(MEASURED.floor, floor_achievable_ms=1.0, r_floor_achievable=0.5),
        gate=replace(MEASURED.gate, error=0.01, bound=0.03),
    )
