"""A committed session of the fused step, with phases as an instrumented build would have left them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runner.record import record

RECORDS = Path(__file__).resolve().parents[2] / "experiments" / "records" / "h200"
STEPS = 8
SHARES = {"qkv": 3, "attention": 7, "out": 2, "gate_up": 45, "down": 23, "head": 10, "exchanges": 10}
"""Percent of the clocks in each phase."""
CLOCKS = 6_400_000  # of a step of 3.6 ms at 1.8 GHz


def fused_record() -> dict[str, Any]:
    """Returns the record of Qwen2.5-7B at ctx 2048."""
    found = dict(record.read(sorted(RECORDS.glob("qwen2.5-7b-2048-bf16-fused-*.json"))[0]))
    return found | {"phases": {name: [share * CLOCKS / 100] * STEPS for name, share in SHARES.items()}}
