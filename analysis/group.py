"""A group of sessions that may stand in one row: equal cell, protocol, code and environment."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from analysis.row import GROUP

Key = tuple[object, ...]


@dataclass(frozen=True)
class Group:
    """A group of sessions with one cell, protocol, code, environment, status and verdict.

    A metric is None where no session has it, and where it was not read.
    """

    gpu: str
    """the GPU's name in the catalogue"""
    model: str
    """the model's name in the catalogue"""
    ctx: int
    """tokens"""
    quant: str
    """weight format"""
    kernel: str
    """the kernel that multiplies the weights"""
    runtime: str
    """how a step is executed"""
    cache: str
    """kind of KV cache"""
    dtype: str
    """type of what is not packed"""
    attention: str
    """the implementation of attention"""
    weights_id: str
    """synthetic, a revision of the hub, or a hash of the content"""
    options: str
    """options of runtime and kernel, such as `sdpa:flash`"""
    scheme: str
    """how packed weights are packed, such as `group_size:128,sym:True`"""
    cell_key: str
    """hash of the cell"""
    protocol: str
    """name, warm-up steps and timed steps, such as `paper-5-30`"""
    code_key: str | None
    """hash of the code that measured; None where nothing was measured"""
    env_key: str | None
    """hash of the environment's versions; None where nothing was measured"""
    status: str
    """`measured`, or how the sessions ended"""
    valid: bool
    """every gate passed"""
    sessions: int
    """sessions that the medians are over"""
    disturbed: int
    """sessions that `sessions` and the medians leave out, because others kept the host busy"""
    last_start_ms: int
    """when the last session began, milliseconds since the epoch"""
    gate_version: str
    """the oldest version of the gate that judged one of the sessions"""
    hosts: list[str]
    flags: list[str]
    """what is right but suspect"""
    reasons: list[str]
    """why the sessions are invalid, or how they ended"""
    superseded: int = 0
    """sessions of older code that the group's row stands for"""
    older_code: bool = False
    """a group of rejected sessions of older code, which no row of the newest counts"""
    step_wall_ms: float | None = None
    """ms a step with its token read back, by the host's clock; None where nothing was measured"""
    step_wall_ms_low: float | None = None
    """ends of the interval of `step_wall_ms` over sessions (see `intervals.of_sessions`)"""
    step_wall_ms_high: float | None = None
    interval: str | None = None
    """`ci95`, `range` or `none`"""
    interval_label: str | None = None
    """what the interval covers, in words"""
    step_wall_revisit_ms: float | None = None
    """ms by the same clock over context lengths met before; None without a growing cache"""
    step_span_ms: float | None = None
    """ms from the first to the last kernel of a step, by device events"""
    step_rate_ms: float | None = None
    """ms a step without reading tokens back"""
    step_busy_ms: float | None = None
    """ms of a step in which kernels run"""
    profiled_span_ms: float | None = None
    """ms of a step under the profiler"""
    step_wall_p90_ms: float | None = None
    """ms that 90 % of the steps of the worst session do not exceed"""
    step_wall_p95_ms: float | None = None
    """the same for 95 %"""
    step_wall_p99_ms: float | None = None
    """the same for 99 %"""
    kernels_per_step: float | None = None
    """kernels launched in a step"""
    kernel_sum_ms: float | None = None
    prefill_ms: float | None = None
    """ms of the prompt"""
    floor_ms: float | None = None
    """ms to read the streamed bytes at the datasheet's peak; None without a datasheet"""
    floor_achievable_ms: float | None = None
    """ms to read the streamed bytes at the bandwidth that the device was seen to read at"""
    r_floor: float | None = None
    """floor over step"""
    r_floor_paper: float | None = None
    """the same with the paper's count of bytes"""
    r_floor_achievable: float | None = None
    """the same with the bandwidth that the device was seen to read at"""
    bytes_streamed: float | None = None
    """bytes that a step must read"""
    peak_bytes: float | None = None
    """bytes of device memory at its peak, of the worst session"""
    logit_error: float | None = None
    """the worst session's error of its logits, relative to the reference"""
    read_gbs: float | None = None
    """GB/s that the device's memory was read at"""
    launch_us: float | None = None
    """µs to launch an empty kernel"""
    passes_apart: float | None = None
    """how far the passes of a session over the same lengths lie apart, as a share of the step"""

    @property
    def wall_ms(self) -> float:
        """`step_wall_ms` of measured sessions, which have it."""
        assert self.step_wall_ms is not None
        return self.step_wall_ms

    @property
    def key(self) -> Key:
        """The values of `GROUP`."""
        return tuple(getattr(self, name) for name in GROUP)


def shared(group: Group, kind: type) -> dict[str, Any]:
    """Returns the values of the group's fields that a class of rows has under the same names."""
    names = {field.name for field in fields(kind)}
    return {field.name: getattr(group, field.name) for field in fields(Group) if field.name in names}
