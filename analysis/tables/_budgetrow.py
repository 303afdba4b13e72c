"""Rows of the gap budget."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.row import CellRow
from analysis.tables._clocks import Term

MS, FROM = "ms of ", "ends of "
"""Keys of a term's columns begin with these."""


@dataclass(frozen=True)
class GroupRow(CellRow):
    """A group of sessions without a budget: they are invalid, or nothing was measured."""

    options: str
    """options of runtime and kernel, such as `sdpa:flash`"""
    attention: str
    """the implementation of attention"""
    weights_id: str
    """synthetic, a revision of the hub, or a hash of the content"""
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
    superseded: int
    """sessions of older code that the row leaves out"""
    older_code: bool
    """rejected sessions of older code"""
    flags: list[str]
    """what is right but suspect"""
    reasons: list[str]
    """why the sessions are invalid, or how they ended"""


@dataclass(frozen=True)
class BudgetRow(GroupRow):
    """A group of valid sessions. Clocks are in ms, each the median session's."""

    step_wall_ms: float
    """ms a step with its token read back, by the host's clock; None where nothing was measured"""
    step_wall_revisit_ms: float | None
    """ms by the same clock over context lengths met before; None without a growing cache"""
    step_span_ms: float | None
    """ms from the first to the last kernel of a step, by device events"""
    step_rate_ms: float | None
    """ms a step without reading tokens back"""
    profiled_span_ms: float | None
    """ms of a step under the profiler"""
    step_busy_ms: float | None
    """ms of a step in which kernels run"""
    kernel_sum_ms: float | None
    """the kernels' durations, added up"""
    kernels_per_step: float | None
    """kernels launched in a step"""
    launch_us: float | None
    """µs to launch an empty kernel"""
    floor_ms: float | None
    """ms to read the streamed bytes at the datasheet's peak; None without a datasheet"""
    floor_achievable_ms: float | None
    """ms to read the streamed bytes at the bandwidth that the device was seen to read at"""
    read_gbs: float | None
    """GB/s that the device's memory was read at"""
    terms: list[Term]
    """add up to `step_wall_ms`"""
    uncertainty: float | None
    """how far the passes over the same lengths lie apart, as a share of the step; None where there is one pass"""
    cuts: list[str]
    """the clocks that were cut to the one above, and by how many ms"""
    is_attributed: bool
    """the passes agree well enough to name causes"""
    largest: str | None
    """the largest term beyond the floor, None where two are too near to each other for these passes"""
    sentence: str

    def value(self, key: str) -> object:
        """Returns what a column shows: for a term its milliseconds, or the passes it lies between."""
        if key.startswith(MS):
            return next((term.ms for term in self.terms if term.name == key.removeprefix(MS)), None)
        if key.startswith(FROM):
            return next((term.of for term in self.terms if term.name == key.removeprefix(FROM)), None)
        return super().value(key)
