"""The row of an A/B comparison: arms, ratio, intervals, verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis import paper
from analysis.paper import GraphsFigure
from analysis.row import Row, ab_anchor
from analysis.statistics import intervals
from analysis.statistics.comparison import Comparison
from runner.ab.arms import value_words


@dataclass(frozen=True)
class ABRow(Row):
    """An A/B. The cell's fields are those of arm a.

    The arms differ in `field`; `arm_a` and `arm_b` are their values of it. `implied` maps each other field that differs
    to both values.
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
    cache: str
    """kind of KV cache"""
    attention: str
    """the implementation of attention"""
    dtype: str
    """dtype of everything that is not packed"""
    weights_id: str
    """`synthetic-…`, a revision on the hub, or a hash of the content"""
    options: str
    """options of runtime and kernel, such as `sdpa:flash`; empty without any"""
    field: str
    """the field of the cell in which the arms differ"""
    arm_a: str
    """the arms' values of that field"""
    arm_b: str
    implied: Mapping[str, tuple[Any, Any]]
    study: str
    """the study that the A/B belongs to"""
    bandwidth_gbs: float | None
    """datasheet bandwidth of the GPU in GB/s, None if the catalogue has none"""
    sessions: int
    """sessions of each arm that the ratio is based on"""
    unused: int
    """measured sessions of each arm that the ratio does not use"""
    unused_reasons: list[str]
    planned: int
    """sessions of each arm that were requested"""
    missing: int
    """sessions of each arm that were requested but not measured"""
    unnamed: list[str]
    """measured sessions in the A/B's folder that belong to no block"""
    unmeasured: Mapping[str, int]
    """sessions that ended without a measurement, by status"""
    hosts: int
    """number of hosts that the sessions ran on"""
    a_ms: float
    """median step of the arms' sessions, in ms"""
    b_ms: float
    ratio: float
    """a over b: above 1, b is faster"""
    ratio_low: float
    """ends of the ratio's confidence interval, or of its range below five sessions"""
    ratio_high: float
    interval: str
    """`ci95`, `range` or `none`"""
    bootstrap_low: float | None
    """ends of the bootstrap interval of the ratio, as the paper computes it"""
    bootstrap_high: float | None
    cv_a: float
    """coefficients of variation over the sessions of an arm, within hosts"""
    cv_b: float
    sessions_needed: int | None
    """sessions of each arm needed for an interval of ±0.5 %"""
    kernels_a: float | None
    """kernels per step, median over sessions"""
    kernels_b: float | None
    busy_a_ms: float | None
    """ms of a step in which kernels run, median over sessions"""
    busy_b_ms: float | None
    launch_us: float | None
    """launch overhead of an empty kernel in µs, median over sessions"""
    read_gbs: float | None
    """measured read bandwidth of the device's memory in GB/s, median over sessions"""
    verdict: str | None
    reason: str
    as_declared: bool
    """whether no more sessions were requested than declared"""
    extension_due: int
    """declared sessions of each arm that the width of the interval calls for and that were not requested yet"""
    flags: list[str]
    """flags: results that are valid but suspect"""
    paper: GraphsFigure | None
    """the paper's figure for the same cell and arms"""
    protocol: str
    """name, warm-up steps and timed steps, such as `paper-5-30`"""
    cell_key_a: str
    code_key_a: str | None
    env_key_a: str
    cell_key_b: str
    code_key_b: str | None
    env_key_b: str
    last_start_ms: int
    """start of the last session, in milliseconds since the epoch"""
    ab: str
    """the id of the A/B"""

    @property
    def anchor(self) -> str:
        return ab_anchor(self.ab)

    @property
    def span(self) -> str | None:
        """Returns the ratio's interval as text, with its coverage unless that is 95 %."""
        return _span(self.ratio_low, self.ratio_high, self.interval, self.sessions)

    @property
    def bootstrap_span(self) -> str | None:
        """Returns the bootstrap interval as text."""
        return _span(self.bootstrap_low, self.bootstrap_high, intervals.CI95)

    @property
    def implied_values(self) -> list[str]:
        """Returns each other field that differs with its values in a and in b, as text."""
        return [f"{name}: {value_words(in_a)} and {value_words(in_b)}" for name, (in_a, in_b) in self.implied.items()]

    @property
    def implied_words(self) -> str:
        """Returns the other fields that differ as one text."""
        return "; ".join(self.implied_values)

    @property
    def is_usual(self) -> bool:
        """Returns whether the arms have unquantised weights, the paper's protocol, 16-bit dtype and attention, and no
        options."""
        has_options = self.options != "" or "options" in (self.field, *self.implied)
        usual = (paper.UNQUANTISED, "bf16", "sdpa", paper.PROTOCOL)
        return (self.quant, self.dtype, self.attention, self.protocol) == usual and not has_options

    @property
    def paper_words(self) -> str | None:
        """Returns the paper's figure as text."""
        return None if self.paper is None else figure_words(self.paper)


@dataclass(frozen=True)
class Summary(ABRow):
    """An A/B with its whole comparison."""

    comparison: Comparison


def _span(low: float | None, high: float | None, kind: str, sessions: int | None = None) -> str | None:
    """Returns an interval as text; a range or an interval of less than 95 % is labelled."""
    if low is None or high is None or kind == intervals.NONE:
        return None
    label = None if sessions is None else intervals.label(kind, sessions)
    return f"{low:.3f}–{high:.3f}" + ("" if label in (None, "95 %") else f" ({label})")


def figure_words(figure: GraphsFigure) -> str:
    """Returns the paper's figure as text: steps, ratio and interval."""
    steps = "" if figure.a_ms is None else f"{figure.a_ms:.3f} → {figure.b_ms:.3f} ms, "
    interval = "" if figure.ratio_low is None else f" [{figure.ratio_low:.3f}, {figure.ratio_high:.3f}]"
    return f"{steps}{figure.ratio:.3f}×{interval}"
