"""A/B comparisons as rows: arms, ratio, intervals, verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from analysis import groups, paper
from analysis.ab import Measured, Session
from analysis.paper import GraphsFigure
from analysis.row import Row, ab_anchor
from analysis.statistics import intervals
from analysis.statistics.comparison import Comparison
from runner.ab.arms import value_words
from runner.ab.manifest import Manifest
from runner.cell import catalogue

CELL_FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "cache", "attention", "dtype", "weights_id")
"""Fields of a row that are those of the cell of arm a as they are; its options become a text."""
PAPERS_ARMS = {"eager", "graph"}


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


Kind = TypeVar("Kind", ABRow, Summary)


def row(measured: Measured) -> ABRow:
    """Returns the row of an A/B."""
    return _with_papers_figure(ABRow(**_fields(measured)))


def summary(measured: Measured) -> Summary:
    """Returns the row of an A/B with its whole comparison."""
    return _with_papers_figure(Summary(**_fields(measured), comparison=measured.comparison))


def _with_papers_figure(made: Kind) -> Kind:
    """Returns the row with the paper's figure if it is of the same cell and arms."""
    is_like_it = made.is_usual and {made.arm_a, made.arm_b} == PAPERS_ARMS
    return replace(made, paper=paper.graphs_row(made.gpu, made.model, made.ctx)) if is_like_it else made


def _fields(measured: Measured) -> dict[str, Any]:
    manifest = measured.manifest
    cell = manifest.arms["a"].cell
    gpu = catalogue.gpus().get(cell.gpu)
    arm_a, arm_b = measured.arm("a"), measured.arm("b")
    both = [*arm_a, *arm_b]
    return {
        **{name: getattr(cell, name) for name in CELL_FIELDS},
        "options": ",".join(f"{name}:{value}" for name, value in sorted(cell.options.items())),
        "field": manifest.field,
        "arm_a": manifest.arms["a"].value,
        "arm_b": manifest.arms["b"].value,
        "implied": manifest.implied,
        "study": manifest.study,
        "bandwidth_gbs": gpu.bandwidth_gbs.value if gpu else None,
        **_counts(measured, len(both)),
        **_compared(measured.comparison),
        "kernels_a": _centre(session.kernels_per_step for session in arm_a),
        "kernels_b": _centre(session.kernels_per_step for session in arm_b),
        "busy_a_ms": _centre(session.step_busy_ms for session in arm_a),
        "busy_b_ms": _centre(session.step_busy_ms for session in arm_b),
        "launch_us": _centre(session.launch_us for session in both),
        "read_gbs": _centre(session.read_gbs for session in both),
        "as_declared": manifest.as_declared,
        "extension_due": _extension_due(manifest, measured.comparison),
        "flags": groups.flags([session.flags for session in both], []),
        "paper": None,
        "protocol": both[0].protocol,
        **_keys("a", arm_a[0]),
        **_keys("b", arm_b[0]),
        "last_start_ms": max(session.started_ms for session in both),
        "ab": manifest.id,
    }


def _counts(measured: Measured, used: int) -> dict[str, Any]:
    manifest = measured.manifest
    return {
        "unused": measured.comparison.unused + (len(manifest.sessions) - used) // 2,
        "unused_reasons": list(measured.unused),
        "planned": max(manifest.asked),
        "missing": max(manifest.asked) - manifest.done,
        "unnamed": list(measured.beside.measured),
        "unmeasured": dict(measured.beside.ended),
    }


def _compared(compared: Comparison) -> dict[str, Any]:
    bootstrap_low, bootstrap_high = compared.bootstrap or (None, None)
    same = ("sessions", "hosts", "a_ms", "b_ms", "ratio", "interval", "cv_a", "cv_b", "sessions_needed", "verdict")
    return {
        **{name: getattr(compared, name) for name in same},
        "reason": compared.reason,
        "ratio_low": compared.low,
        "ratio_high": compared.high,
        "bootstrap_low": bootstrap_low,
        "bootstrap_high": bootstrap_high,
    }


def _keys(arm: str, session: Session) -> dict[str, str | None]:
    return {
        f"cell_key_{arm}": session.cell_key,
        f"code_key_{arm}": session.code_key,
        f"env_key_{arm}": session.env_key,
    }


def _extension_due(manifest: Manifest, compared: Comparison) -> int:
    """Returns the declared extension, in sessions of each arm, if it is due; 0 otherwise.

    It is due if the interval is wider than ±0.5 %, the declared sessions are measured and no more were requested.
    """
    declared = manifest.declared
    is_requested = max(manifest.asked) > declared.sessions
    needed = compared.sessions_needed
    is_wide = needed is not None and needed > compared.sessions
    return declared.extension if is_wide and not is_requested and manifest.done >= declared.sessions else 0


def _centre(values: Iterable[float | None]) -> float | None:
    return intervals.centre(list(values))


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
