"""Makes the rows of A/B comparisons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from analysis import groups, paper
from analysis.ab import Measured, Session
from analysis.abrow import ABRow, Summary
from analysis.statistics import intervals
from analysis.statistics.comparison import Comparison
from runner.ab.manifest import Manifest
from runner.cell import catalogue

CELL_FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "cache", "attention", "dtype", "weights_id")
"""Fields of a row that are those of the cell of arm a as they are; its options become a text."""
PAPERS_ARMS = {"eager", "graph"}
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
