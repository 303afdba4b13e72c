"""The row of the floor table."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.row import CellRow


@dataclass(frozen=True)
class FloorRow(CellRow):
    """A group of sessions. Metrics are medians over sessions; tails and memory are those of the worst session."""

    attention: str
    """the implementation of attention"""
    weights_id: str
    """`synthetic-…`, a revision on the hub, or a hash of the content"""
    options: str
    """options of runtime and kernel, such as `sdpa:flash`"""
    protocol: str
    """name, warm-up steps and timed steps, such as `paper-5-30`"""
    env_key: str | None
    """hash of the environment's versions; None if nothing was measured"""
    code_key: str | None
    """hash of the code that measured; None if nothing was measured"""
    cell_key: str
    """hash of the cell"""
    status: str
    """`measured`, or how the sessions ended"""
    valid: bool
    """whether every gate passed"""
    sessions: int
    """sessions that the medians are over"""
    disturbed: int | None
    """sessions that the row excludes because other processes kept the host busy, None if none"""
    superseded: int
    """sessions of older code that the row leaves out"""
    older_code: bool
    """whether these are rejected sessions of older code"""
    hosts: int
    """number of hosts that the sessions ran on"""
    step_wall_ms: float | None
    """ms per step including the read-back of its token, by the host's clock; None if nothing was measured"""
    step_wall_p90_ms: float | None
    """90th percentile of the step in the worst session, in ms"""
    step_wall_p95_ms: float | None
    """95th percentile, likewise"""
    p99_ms: float | None
    """upper 95 % bound on the 99th percentile in the worst session; None if the steps of a session are too few"""
    step_wall_revisit_ms: float | None
    """ms by the same clock at context lengths that the process has processed before; None without a growing cache"""
    step_busy_ms: float | None
    """ms of a step in which kernels run"""
    prefill_ms: float | None
    """ms to process the prompt"""
    peak_bytes: float | None
    """peak device memory of the worst session, in bytes"""
    floor_ms: float | None
    """ms to read the streamed bytes at the datasheet bandwidth; None without a datasheet"""
    r_floor: float | None
    """floor divided by step"""
    r_floor_paper: float | None
    """the same ratio with the paper's count of bytes"""
    r_floor_achievable: float | None
    """the same ratio with the measured read bandwidth of the device"""
    step_wall_ms_low: float | None
    """ends of the interval of `step_wall_ms`"""
    step_wall_ms_high: float | None
    interval: str | None
    """`ci95`, `range` or `none`"""
    interval_label: str | None
    """coverage of the interval as text"""
    tokens_per_s: float | None
    """tokens of one stream per second"""
    usd_per_mtok: float | None
    """US dollars per million tokens of one stream, None without a price in the catalogue"""
    joules_per_token: float | None
    """energy of a step in J: median over the sessions that measured it; None if none did"""
    joules_per_token_low: float | None
    """ends of its range over these sessions; None below three"""
    joules_per_token_high: float | None
    joules_per_token_above_idle: float | None
    """the same without the energy of the idle card"""
    joules_per_token_above_idle_low: float | None
    joules_per_token_above_idle_high: float | None
    flags: list[str]
    """flags: results that are valid but suspect"""
    reasons: list[str]
    """why the sessions are invalid, or how they ended"""
