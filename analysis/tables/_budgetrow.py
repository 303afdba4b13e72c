"""Rows of the gap budget."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.row import CellRow
from analysis.tables._clocks import Term

MS, FROM = "ms of ", "ends of "
"""Prefixes of the keys of a term's columns."""


@dataclass(frozen=True)
class GroupRow(CellRow):
    """A group of sessions without a budget: invalid or not measured."""

    options: str
    """options of runtime and kernel, such as `sdpa:flash`"""
    attention: str
    """the implementation of attention"""
    weights_id: str
    """`synthetic-…`, a revision on the hub, or a hash of the content"""
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
    superseded: int
    """sessions of older code that the row leaves out"""
    older_code: bool
    """whether these are rejected sessions of older code"""
    flags: list[str]
    """flags: results that are valid but suspect"""
    reasons: list[str]
    """why the sessions are invalid, or how they ended"""


@dataclass(frozen=True)
class BudgetRow(GroupRow):
    """A group of valid sessions. Clocks are in ms, each the median over sessions."""

    step_wall_ms: float
    """ms per step including the read-back of its token, by the host's clock"""
    step_wall_revisit_ms: float | None
    """ms by the same clock at context lengths that the process has processed before; None without a growing cache"""
    step_span_ms: float | None
    """ms from the first to the last kernel of a step, by device events"""
    step_rate_ms: float | None
    """ms per step without reading tokens back"""
    profiled_span_ms: float | None
    """ms of a step under the profiler"""
    step_busy_ms: float | None
    """ms of a step in which kernels run"""
    kernel_sum_ms: float | None
    """sum of the kernels' durations in ms"""
    kernels_per_step: float | None
    """kernels launched per step"""
    launch_us: float | None
    """launch overhead of an empty kernel in µs"""
    floor_ms: float | None
    """ms to read the streamed bytes at the datasheet bandwidth; None without a datasheet"""
    floor_achievable_ms: float | None
    """ms to read the streamed bytes at the measured read bandwidth of the device"""
    read_gbs: float | None
    """measured read bandwidth of the device's memory in GB/s"""
    terms: list[Term]
    """terms that add up to `step_wall_ms`"""
    phases: list[Term]
    """parts of the kernels' time beyond reading, by phase of a step that is one kernel; empty for other steps"""
    uncertainty: float | None
    """largest difference between passes over the same lengths, as a fraction of the step; None with one pass"""
    cuts: list[str]
    """clocks that were longer than the one above and were cut to it, with the excess in ms"""
    is_attributed: bool
    """whether the passes agree well enough to name causes"""
    largest: str | None
    """name of the largest term beyond the floor, None if the passes cannot rank it"""
    sentence: str

    def value(self, key: str) -> object:
        """Returns the value of a column: for a term its milliseconds, or the passes that bound it."""
        if key.startswith(MS):
            return next((term.ms for term in self.terms if term.name == key.removeprefix(MS)), None)
        if key.startswith(FROM):
            return next((term.of for term in self.terms if term.name == key.removeprefix(FROM)), None)
        return super().value(key)
