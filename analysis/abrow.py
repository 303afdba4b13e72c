"""An A/B as one row: arms, ratio, intervals, verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from analysis import groups, paper
from analysis.ab import Measured, Session
from analysis.paper import GraphsFigure
from analysis.row import Row, ab_anchor
from analysis.statistics import intervals
from analysis.statistics.comparison import Comparison
from runner.ab.manifest import Manifest
from runner.cell import catalogue

CELL_FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "cache", "attention", "dtype", "weights_id")


@dataclass(frozen=True)
class ABRow(Row):
    """An A/B. The cell's fields are those of arm a; `arm_a` and `arm_b` are the arms' values of the field in which they
    differ, `implied` maps what differs beside it to both values."""

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
    """type of what is not packed"""
    weights_id: str
    """synthetic, a revision of the hub, or a hash of the content"""
    field: str
    """the field of the cell in which the arms differ"""
    arm_a: str
    """the arms' values of it"""
    arm_b: str
    implied: Mapping[str, tuple[Any, Any]]
    study: str
    """the study that it is of"""
    bandwidth_gbs: float | None
    """GB/s of the GPU's datasheet, None if the catalogue has none"""
    sessions: int
    """sessions of each arm that the ratio rests on"""
    unused: int
    """sessions of each arm beside them"""
    unused_reasons: list[str]
    planned: int
    """sessions of each arm that were asked for"""
    missing: int
    """sessions of each arm that were asked for and not measured"""
    unnamed: list[str]
    """measured sessions that lie beside the A/B and are in no block"""
    unmeasured: Mapping[str, int]
    """sessions that ended without a measurement, by status"""
    hosts: int
    """number of hosts that the sessions ran on"""
    a_ms: float
    """ms a step of the arms' median sessions"""
    b_ms: float
    ratio: float
    """a over b: above 1, b is faster"""
    ratio_low: float
    """ends of the ratio's interval, or of its range below five sessions"""
    ratio_high: float
    interval: str
    """`ci95`, `range` or `none`"""
    bootstrap_low: float | None
    """ends of the paper's bootstrap interval of the ratio"""
    bootstrap_high: float | None
    cv_a: float
    """coefficients of variation over the sessions of an arm, within hosts"""
    cv_b: float
    sessions_needed: int | None
    """sessions of each arm that would bring the interval to ±0.5 %"""
    kernels_a: float | None
    """kernels a step, of the median session"""
    kernels_b: float | None
    busy_a_ms: float | None
    """ms of a step in which kernels run, of the median session"""
    busy_b_ms: float | None
    launch_us: float | None
    """µs to launch an empty kernel, of the median session"""
    read_gbs: float | None
    """GB/s that the device's memory was read at, of the median session"""
    verdict: str | None
    reason: str
    as_declared: bool
    """no more sessions were asked for than had been declared"""
    extension_due: int
    """sessions of each arm that were declared for an interval of this width and not yet asked for"""
    flags: list[str]
    """what is right but suspect"""
    paper: GraphsFigure | None
    """the paper's figure of the same cell"""
    protocol: str
    """name, warm-up steps and timed steps, such as `paper-5-30`"""
    cell_key_a: str
    code_key_a: str | None
    env_key_a: str
    cell_key_b: str
    code_key_b: str | None
    env_key_b: str
    last_start_ms: int
    """when the last session began, milliseconds since the epoch"""
    ab: str
    """the id of the A/B"""

    @property
    def anchor(self) -> str:
        return ab_anchor(self.ab)

    @property
    def span(self) -> str | None:
        """The ratio's interval in words, with what it is where that is not 95 %."""
        return _span(self.ratio_low, self.ratio_high, self.interval, self.sessions)

    @property
    def bootstrap_span(self) -> str | None:
        """The bootstrap's interval in words."""
        return _span(self.bootstrap_low, self.bootstrap_high, intervals.CI95)

    @property
    def paper_words(self) -> str | None:
        """The paper's figure in words."""
        return None if self.paper is None else figure_words(self.paper)


@dataclass(frozen=True)
class Summary(ABRow):
    """An A/B with all of its comparison."""

    comparison: Comparison


def row(measured: Measured) -> ABRow:
    """Returns what is known of one A/B."""
    return ABRow(**_fields(measured))


def summary(measured: Measured) -> Summary:
    """Returns the comparison of any A/B."""
    return Summary(**_fields(measured), comparison=measured.comparison)


def _fields(measured: Measured) -> dict[str, Any]:
    manifest = measured.manifest
    cell = manifest.arms["a"].cell
    known = catalogue.gpus().get(cell.gpu)
    arm_a, arm_b = measured.arm("a"), measured.arm("b")
    both = [*arm_a, *arm_b]
    return {
        **{name: getattr(cell, name) for name in CELL_FIELDS},
        "field": manifest.field,
        "arm_a": manifest.arms["a"].value,
        "arm_b": manifest.arms["b"].value,
        "implied": manifest.implied,
        "study": manifest.study,
        "bandwidth_gbs": known.bandwidth_gbs.value if known else None,
        **_counts(measured, len(both)),
        **_compared(measured.comparison),
        "kernels_a": _centre(each.kernels_per_step for each in arm_a),
        "kernels_b": _centre(each.kernels_per_step for each in arm_b),
        "busy_a_ms": _centre(each.step_busy_ms for each in arm_a),
        "busy_b_ms": _centre(each.step_busy_ms for each in arm_b),
        "launch_us": _centre(each.launch_us for each in both),
        "read_gbs": _centre(each.read_gbs for each in both),
        "as_declared": manifest.as_declared,
        "extension_due": _extension_due(manifest, measured.comparison),
        "flags": groups.flags([each.flags for each in both], []),
        "paper": paper.graphs_row(cell.gpu, cell.model, cell.ctx),
        "protocol": both[0].protocol,
        **_keys("a", arm_a[0]),
        **_keys("b", arm_b[0]),
        "last_start_ms": max(each.started_ms for each in both),
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
    """Returns how many sessions of each arm were declared for an interval wider than ±0.5 %, where it is wider and they
    were not asked for yet; 0 otherwise."""
    declared = manifest.declared
    asked = max(manifest.asked) > declared.sessions
    needed = compared.sessions_needed
    wide = needed is not None and needed > compared.sessions
    return declared.extension if wide and not asked and manifest.done >= declared.sessions else 0


def _centre(values: Iterable[float | None]) -> float | None:
    return intervals.centre(list(values))


def _span(low: float | None, high: float | None, kind: str, sessions: int | None = None) -> str | None:
    """Returns an interval in words, with what it is where that is not 95 %: the range, or the interval of five sessions
    of each arm."""
    if low is None or high is None or kind == intervals.NONE:
        return None
    label = None if sessions is None else intervals.label(kind, sessions)
    return f"{low:.3f}–{high:.3f}" + ("" if label in (None, "95 %") else f" ({label})")


def figure_words(figure: GraphsFigure) -> str:
    """Returns the paper's figure in words: steps, ratio and interval."""
    steps = "" if figure.a_ms is None else f"{figure.a_ms:.3f} → {figure.b_ms:.3f} ms, "
    interval = "" if figure.ratio_low is None else f" [{figure.ratio_low:.3f}, {figure.ratio_high:.3f}]"
    return f"{steps}{figure.ratio:.3f}×{interval}"
