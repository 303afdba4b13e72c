"""Ranges of predictions, from rows that were held out of the fit in turn: each model, and each card.

The logarithms of measured over predicted have the root mean square `rms`. A range is `exp(± t · rms · √(1 + 1/folds))`
around the prediction, with t of Student's distribution at 95 % and one degree of freedom less than there are folds:
rows of one fold err together, so that the folds count, not the rows. Steps that the host limits have their own range.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from scipy import stats

from analysis.prediction import fitting, stepmodel
from analysis.prediction.constants import Architecture, Spread
from analysis.prediction.observations import Observation
from analysis.prediction.stepmodel import HOST_BOUND

COVERAGE = 0.95
DEVICE_BOUND = "device"
"""Steps that are not host-bound."""


@dataclass(frozen=True)
class Fold:
    """A fit and the rows that it was not fitted on."""

    name: str
    fitted: Architecture
    held_out: Sequence[Observation]


def folds(observed: Sequence[Observation]) -> Iterator[Fold]:
    """Yields a fit without each model, and one without each card, of rows of one architecture."""
    yield from _folds("model", observed, lambda row: row.model)
    yield from _folds("gpu", observed, lambda row: row.gpu)


def _folds(field: str, observed: Sequence[Observation], key: Callable[[Observation], str]) -> Iterator[Fold]:
    for name in sorted({key(row) for row in observed}):
        rest = [row for row in observed if key(row) != name]
        if fitting.is_possible(rest):
            fitted = fitting.fit(rest)
            held_out = [row for row in observed if key(row) == name and fitted.remainder(row.configuration)]
            yield Fold(f"{field} {name}", fitted, held_out)


def with_spreads(observed: Sequence[Observation]) -> Architecture:
    """Returns the constants of rows of one architecture, with their spreads."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for fold in folds(observed):
        for row in fold.held_out:
            step = stepmodel.step(fold.fitted, row.configuration, row.work, row.bandwidth_gbs)
            found[kind(step.limit)][fold.name].append(math.log(row.wall_ms / step.ms))
    spreads = tuple(_spread(limit, list(by_fold.values())) for limit, by_fold in sorted(found.items()))
    return replace(fitting.fit(observed), spreads=spreads)


def kind(limit: str) -> str:
    """Returns the kind of spread that applies to a step with this limit."""
    return HOST_BOUND if limit == HOST_BOUND else DEVICE_BOUND


def _spread(limit: str, errors: Sequence[Sequence[float]]) -> Spread:
    rows = [error for fold in errors for error in fold]
    rms = math.sqrt(sum(error**2 for error in rows) / len(rows))
    count = len(errors)
    half_width = None
    if count > 1:
        half_width = float(stats.t.ppf((1 + COVERAGE) / 2, count - 1)) * rms * math.sqrt(1 + 1 / count)
    return Spread(limit, len(rows), count, rms, half_width)
