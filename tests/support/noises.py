"""The committed figures of docs/evidence/coverage.json, and the noise that they name."""

from __future__ import annotations

import json
from pathlib import Path

from analysis.statistics import coverage, noise
from analysis.statistics.noise import NORMAL, Shape, SkewedT, TwoSpeeds

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = json.loads((ROOT / "docs" / "evidence" / "coverage.json").read_text())


def committed(family: str, shape: type[SkewedT] | type[TwoSpeeds]) -> Shape:
    """The shape of a family as it was fitted to the committed sessions."""
    told = COMMITTED["noise"]["fitted"][family]
    return shape(**{name: value for name, value in told.items() if name != "log_likelihood_over_normal"})


SHAPES = {coverage.TAIL: committed(coverage.TAIL, SkewedT), coverage.SPEEDS: committed(coverage.SPEEDS, TwoSpeeds)}
SOURCES = {name: noise.standardised(shape) for name, shape in {"normal": NORMAL, **SHAPES}.items()}
