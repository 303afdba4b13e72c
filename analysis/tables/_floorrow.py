"""The row of the floor table."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.row import CellRow


@dataclass(frozen=True)
class FloorRow(CellRow):
    """A group of sessions; metrics are the median session's, tails and memory the worst session's."""

    attention: str
    weights_id: str
    options: str
    protocol: str
    env_key: str | None
    code_key: str | None
    cell_key: str
    status: str
    valid: bool
    sessions: int
    disturbed: int | None
    """sessions that the row leaves out because others kept the host busy, None for none"""
    superseded: int
    """sessions of older code that the row leaves out"""
    older_code: bool
    hosts: int
    step_wall_ms: float | None
    """ms; None where nothing was measured"""
    step_wall_p90_ms: float | None
    step_wall_p95_ms: float | None
    step_wall_p99_ms: float | None
    step_wall_revisit_ms: float | None
    step_busy_ms: float | None
    prefill_ms: float | None
    peak_bytes: float | None
    floor_ms: float | None
    r_floor: float | None
    r_floor_paper: float | None
    r_floor_achievable: float | None
    step_wall_ms_low: float | None
    """ends of the interval of `step_wall_ms`"""
    step_wall_ms_high: float | None
    interval: str | None
    interval_label: str | None
    tokens_per_s: float | None
    usd_per_mtok: float | None
    """dollars for a million tokens of one stream, None without a price in the catalogue"""
    flags: list[str]
    reasons: list[str]
