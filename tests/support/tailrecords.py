"""Records of the tail protocol."""

from __future__ import annotations

from typing import Any

from tests.support.records import example_record, packed_record

TAIL = {"name": "tail", "warmup": 5, "steps": 300}


def tail_record(step_ms: float = 8.0, **changes: Any) -> dict[str, Any]:
    """A session with 300 timed steps."""
    return example_record(step_ms=step_ms, **{"protocol": TAIL, **changes})


def three_sessions() -> list[dict[str, Any]]:
    """Three sessions of one cell with 300 steps, and one of another cell with 30."""
    return [*(tail_record() for _ in range(3)), packed_record(step_ms=18.0)]
