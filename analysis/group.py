"""Groups of sessions that form one row: equal cell, protocol, code and environment."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from analysis.row import GROUP

Key = tuple[object, ...]


@dataclass(frozen=True)
class Group:
    """A group of sessions with equal cell, protocol, code, environment, status and validity.

    A metric is None if no session has it or it was not read.
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
    """dtype of everything that is not packed"""
    attention: str
    """the implementation of attention"""
    weights_id: str
    """`synthetic-…`, a revision on the hub, or a hash of the content"""
    options: str
    """options of runtime and kernel, such as `sdpa:flash`"""
    scheme: str
    """packing of the weights, such as `group_size:128,sym:True`"""
    cell_key: str
    """hash of the cell"""
    protocol: str
    """name, warm-up steps and timed steps, such as `paper-5-30`"""
    code_key: str | None
    """hash of the code that measured; None if nothing was measured"""
    env_key: str | None
    """hash of the environment's versions; None if nothing was measured"""
    status: str
    """`measured`, or how the sessions ended"""
    valid: bool
    """whether every gate passed"""
    sessions: int
    """sessions that the medians are over"""
    disturbed: int
    """sessions that `sessions` and the medians exclude because other processes kept the host busy"""
    last_start_ms: int
    """start of the last session, in milliseconds since the epoch"""
    gate_version: str
    """oldest gate version that judged one of the sessions"""
    hosts: list[str]
    flags: list[str]
    """flags: results that are valid but suspect"""
    reasons: list[str]
    """why the sessions are invalid, or how they ended"""
    attention_backend: str | None = None
    """the backend of attention that the sessions used, by the names of their kernels"""
    superseded: int = 0
    """sessions of older code that the group replaces"""
    older_code: bool = False
    """whether these are rejected sessions of older code that no newer row counts"""
    step_wall_ms: float | None = None
    """ms per step including the read-back of its token, by the host's clock; None if nothing was measured"""
    step_wall_ms_low: float | None = None
    """ends of the interval of `step_wall_ms` over sessions (see `intervals.session_interval`)"""
    step_wall_ms_high: float | None = None
    step_wall_ms_least: float | None = None
    """least and largest step of a session"""
    step_wall_ms_most: float | None = None
    interval: str | None = None
    """`ci95`, `range` or `none`"""
    interval_label: str | None = None
    """coverage of the interval as text"""
    step_wall_revisit_ms: float | None = None
    """ms by the same clock at context lengths that the process has processed before; None without a growing cache"""
    step_span_ms: float | None = None
    """ms from the first to the last kernel of a step, by device events"""
    step_rate_ms: float | None = None
    """ms per step without reading tokens back"""
    step_busy_ms: float | None = None
    """ms of a step in which kernels run"""
    profiled_span_ms: float | None = None
    """ms of a step under the profiler"""
    step_wall_p90_ms: float | None = None
    """90th percentile of the step in the worst session, in ms"""
    step_wall_p95_ms: float | None = None
    """95th percentile, likewise"""
    p99_ms: float | None = None
    """upper 95 % bound on the 99th percentile in the worst session; None if the steps of a session are too few"""
    kernels_per_step: float | None = None
    """kernels launched per step"""
    kernel_sum_ms: float | None = None
    kernels_qkv_ms: float | None = None
    """ms of a phase of a step that is one kernel, beyond the time to read its bytes; None for other steps"""
    kernels_attention_ms: float | None = None
    kernels_out_ms: float | None = None
    kernels_gate_up_ms: float | None = None
    kernels_down_ms: float | None = None
    kernels_head_ms: float | None = None
    kernels_exchanges_ms: float | None = None
    prefill_ms: float | None = None
    """ms to process the prompt"""
    floor_ms: float | None = None
    """ms to read the streamed bytes at the datasheet bandwidth; None without a datasheet"""
    floor_achievable_ms: float | None = None
    """ms to read the streamed bytes at the measured read bandwidth of the device"""
    r_floor: float | None = None
    """floor divided by step"""
    r_floor_paper: float | None = None
    """the same ratio with the paper's count of bytes"""
    r_floor_achievable: float | None = None
    """the same ratio with the measured read bandwidth of the device"""
    joules_per_token: float | None = None
    """energy of a step in J; None if no session measured it"""
    joules_per_token_low: float | None = None
    """ends of its range over sessions; None below three"""
    joules_per_token_high: float | None = None
    joules_per_token_most: float | None = None
    """the largest of a session, of however many"""
    joules_per_token_above_idle: float | None = None
    """the same without the energy of the idle card"""
    joules_per_token_above_idle_low: float | None = None
    joules_per_token_above_idle_high: float | None = None
    sm_clock_mhz: float | None = None
    """clock of the multiprocessors in MHz while energy was measured"""
    memory_clock_mhz: float | None = None
    """clock of the memory in MHz, likewise"""
    bytes_streamed: float | None = None
    """bytes that a step must read"""
    peak_bytes: float | None = None
    """peak device memory of the worst session, in bytes"""
    logit_error: float | None = None
    """logit error of the worst session, relative to the reference"""
    read_gbs: float | None = None
    """measured read bandwidth of the device's memory in GB/s"""
    launch_us: float | None = None
    """launch overhead of an empty kernel in µs"""
    passes_apart: float | None = None
    """largest difference between a session's passes over the same lengths, as a fraction of the step"""

    @property
    def wall_ms(self) -> float:
        """Returns `step_wall_ms` of measured sessions, which is never None."""
        assert self.step_wall_ms is not None
        return self.step_wall_ms

    @property
    def key(self) -> Key:
        """Returns the values of `GROUP`."""
        return tuple(getattr(self, name) for name in GROUP)


def shared(group: Group, kind: type) -> dict[str, Any]:
    """Returns the group's fields that a row class declares under the same names."""
    names = {field.name for field in fields(kind)}
    return {field.name: getattr(group, field.name) for field in fields(Group) if field.name in names}
