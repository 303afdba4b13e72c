"""Ranges of predictions, from rows that were held out of the fit in turn.

Held out are each GPU, each shape of layers, and, for steps that the host limits, each host. If that leaves no constants
for such steps, each row is held out. The logarithms of measured over predicted have the root mean square `rms` about 0.
A range is `exp(± t · rms)` around the prediction, with t of Student's distribution at 95 %. Its degrees of freedom are
the number of independent errors that are worth as much as these, `n² / Σ (nᵢ + nᵢ (nᵢ − 1) ρ²)` over the folds
(Satterthwaite), where ρ is the correlation of errors of one fold. Steps that the host limits have their own range.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from analysis.prediction import fitting, folds, stepmodel
from analysis.prediction.constants import Architecture, Constants, FittedRow, Spread
from analysis.prediction.observations import Observation
from analysis.prediction.stepmodel import HOST_BOUND, Step

COVERAGE = 0.95
DEVICE_BOUND = "device"
"""The limit of steps that are not host-bound."""
LIMITS = (DEVICE_BOUND, HOST_BOUND)
Error = tuple[str, float]
"""(limit, logarithm of measured over predicted)"""


def constants(observed: Sequence[Observation]) -> Constants:
    """Returns the constants of each architecture of the rows. Raises as `fitting.fit`."""
    capabilities = sorted({row.capability for row in observed})
    return Constants(tuple(with_rows([row for row in observed if row.capability == each]) for each in capabilities))


def with_rows(observed: Sequence[Observation]) -> Architecture:
    """Returns the constants of rows of one architecture, with their spreads and the rows. Raises as `fitting.fit`."""
    fitted = with_spreads(observed)
    rows = (FittedRow(row.name, row.wall_ms, _step(fitted, row).ms, row.flags, _ids(row)) for row in observed)
    return replace(fitted, rows=tuple(rows))


def _ids(row: Observation) -> tuple[str, ...]:
    return tuple(sorted(each.session for each in row.sessions))


def _step(fitted: Architecture, row: Observation) -> Step:
    return stepmodel.step(fitted, row.configuration, row.work, row.bandwidth_gbs)


def with_spreads(observed: Sequence[Observation]) -> Architecture:
    """Returns the constants of rows of one architecture, with their spreads. Raises as `fitting.fit`."""
    fitted = fitting.fit(observed)
    found = _by_limit([*folds.cards(observed), *folds.layers(observed)])
    if by_host := _by_limit(folds.hosts(observed)).get(HOST_BOUND):
        found[HOST_BOUND] = found.get(HOST_BOUND, []) + by_host
    if len(found) < len(LIMITS):
        found = {**_by_limit(folds.rows(observed)), **found}
    return replace(fitted, spreads=tuple(spread(limit, by_fold) for limit, by_fold in sorted(found.items())))


def _by_limit(held_out: Iterable[folds.Fold]) -> dict[str, list[list[float]]]:
    """Returns limit → errors by fold."""
    found: dict[str, list[list[float]]] = defaultdict(list)
    for fold in held_out:
        errors = list(_errors(fold))
        for limit in {limit for limit, _ in errors}:
            found[limit].append([error for each, error in errors if each == limit])
    return dict(found)


def _errors(fold: folds.Fold) -> Iterator[Error]:
    """Yields the errors of held-out rows that the rest has constants of."""
    if not fitting.is_possible(fold.rest):
        return
    fitted = fitting.fit(fold.rest)
    for row in fold.held_out:
        if fitted.covering(row.configuration, row.shape) is not None:
            step = _step(fitted, row)
            yield limit_of(step.limit), math.log(row.wall_ms / step.ms)


def limit_of(limit: str) -> str:
    """Returns the limit whose spread applies to a step with this limit."""
    return HOST_BOUND if limit == HOST_BOUND else DEVICE_BOUND


def spread(limit: str, errors: Sequence[Sequence[float]]) -> Spread:
    """Returns the spread of errors by fold."""
    from scipy.special import stdtrit  # Student's quantile, as scipy.stats.t.ppf has it

    rows = [error for fold in errors for error in fold]
    rms = math.sqrt(sum(error**2 for error in rows) / len(rows))
    freedom = degrees_of_freedom(errors)
    factor = float(stdtrit(freedom, (1 + COVERAGE) / 2))
    return Spread(limit, len(rows), len(errors), rms, freedom, factor * rms)


def degrees_of_freedom(errors: Sequence[Sequence[float]]) -> float:
    """Returns the number of independent errors about 0 that are worth as much as these errors by fold."""
    sizes = [len(fold) for fold in errors]
    square = sum(error**2 for fold in errors for error in fold) / sum(sizes)
    pairs = sum(size * (size - 1) for size in sizes)
    products = sum(sum(fold) ** 2 - sum(error**2 for error in fold) for fold in errors)
    correlation = min(max(products / pairs / square, 0.0), 1.0) if pairs and square else 1.0
    return sum(sizes) ** 2 / sum(size + size * (size - 1) * correlation**2 for size in sizes)
