"""The row of the floor table."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.row import CellRow


@dataclass(frozen=True)
class FloorRow(CellRow):
    """A group of sessions; metrics are the median session's, tails and memory the worst session's."""

    attention: str
    """the implementation of attention"""
    weights_id: str
    """synthetic, a revision of the hub, or a hash of the content"""
    options: str
    """options of runtime and kernel, such as `sdpa:flash`"""
    protocol: str
    """name, warm-up steps and timed steps, such as `paper-5-30`"""
    env_key: str | None
    """hash of the environment's versions; None where nothing was measured"""
    code_key: str | None
    """hash of the code that measured; None where nothing was measured"""
    cell_key: str
    """hash of the cell"""
    status: str
    """`measured`, or how the sessions ended"""
    valid: bool
    """every gate passed"""
    sessions: int
    """sessions that the medians are over"""
    disturbed: int | None
    """sessions that the row leaves out because others kept the host busy, None for none"""
    superseded: int
    """sessions of older code that the row leaves out"""
    older_code: bool
    """rejected sessions of older code"""
    hosts: int
    """number of hosts that the sessions ran on"""
    step_wall_ms: float | None
    """ms; None where nothing was measured"""
    step_wall_p90_ms: float | None
    """ms that 90 % of the steps of the worst session do not exceed"""
    step_wall_p95_ms: float | None
    """the same for 95 %"""
    step_wall_p99_ms: float | None
    """the same for 99 %"""
    step_wall_revisit_ms: float | None
    """ms by the same clock over context lengths met before; None without a growing cache"""
    step_busy_ms: float | None
    """ms of a step in which kernels run"""
    prefill_ms: float | None
    """ms of the prompt"""
    peak_bytes: float | None
    """bytes of device memory at its peak, of the worst session"""
    floor_ms: float | None
    """ms to read the streamed bytes at the datasheet's peak; None without a datasheet"""
    r_floor: float | None
    """floor over step"""
    r_floor_paper: float | None
    """the same with the paper's count of bytes"""
    r_floor_achievable: float | None
    """the same with the bandwidth that the device was seen to read at"""
    step_wall_ms_low: float | None
    """ends of the interval of `step_wall_ms`"""
    step_wall_ms_high: float | None
    interval: str | None
    """`ci95`, `range` or `none`"""
    interval_label: str | None
    """what the interval covers, in words"""
    tokens_per_s: float | None
    """tokens of one stream a second"""
    usd_per_mtok: float | None
    """dollars for a million tokens of one stream, None without a price in the catalogue"""
    flags: list[str]
    """what is right but suspect"""
    reasons: list[str]
    """why the sessions are invalid, or how they ended"""
