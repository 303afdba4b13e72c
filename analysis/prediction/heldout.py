"""The check: each row that was held out, measured and predicted, and figures of the paper, which are never fitted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis import paper
from analysis.prediction import estimates, fitting, folds, residuals
from analysis.prediction.constants import Constants
from analysis.prediction.estimates import Card, Estimate
from analysis.prediction.folds import Fold
from analysis.prediction.observations import Observation
from analysis.prediction.rangedrow import RangedRow
from analysis.prediction.workload import DYNAMIC, Configuration

PAPER = "paper"
UNQUANTISED = "bf16"


@dataclass(frozen=True)
class HeldOut(RangedRow):
    """A step that the constants were not fitted on."""

    kind: str
    """what was held out: gpu, model, layers; or paper, for a figure of the paper"""
    without: str
    """the GPU or the models that were held out"""
    gpu: str
    model: str
    ctx: int
    quant: str
    kernel: str
    runtime: str
    cache: str
    dtype: str
    measured_ms: float
    fastest_ms: float | None
    """fastest of its sessions; None for a figure of the paper"""
    slowest_ms: float | None
    """slowest of its sessions"""
    step_ms: float
    low_ms: float
    high_ms: float
    error: float
    """predicted over measured, minus 1"""
    inside: bool
    limit: str
    basis: str
    caveats: list[str]

    @property
    def is_tested(self) -> bool:
        """Returns whether the row counts for measured architectures: the paper's hosts and versions are not known."""
        return self.kind != PAPER

    @property
    def verdict(self) -> str:
        return "inside" if self.inside else "outside"


@dataclass(frozen=True)
class Check:
    """The held-out rows, and for each fold the rows that the remaining records have no constants of."""

    rows: list[HeldOut]
    uncovered: list[tuple[Fold, list[Observation]]]


def check(observed: Sequence[Observation]) -> Check:
    """Returns the check of rows of one or more architectures. Raises as `fitting.fit`."""
    rows: list[HeldOut] = []
    uncovered = []
    for fold in _folds(observed):
        known = Constants((residuals.with_spreads(fold.rest),)) if fitting.is_possible(fold.rest) else Constants(())
        covered = [row for row in fold.held_out if known.covers(row.configuration, row.shape)]
        rows += [_held_out(fold, row, known) for row in covered]
        if missing := [row for row in fold.held_out if row not in covered]:
            uncovered.append((fold, missing))
    return Check([*rows, *_published(residuals.constants(observed))], uncovered)


def _folds(observed: Sequence[Observation]) -> Iterator[Fold]:
    """Yields the folds of each architecture. Layers that one model has alone are held out with the model."""
    for capability in sorted({row.capability for row in observed}):
        rows = [row for row in observed if row.capability == capability]
        names = {row.model for row in rows}
        yield from itertools.chain(folds.cards(rows), folds.models(rows))
        yield from (fold for fold in folds.layers(rows) if fold.name not in names)


def _held_out(fold: Fold, row: Observation, known: Constants) -> HeldOut:
    card = Card(row.gpu, row.capability, row.bandwidth_gbs)
    estimate = estimates.estimate(known, card, row.shape, row.ctx, row.configuration)
    place = paper.Place(row.gpu, row.model, row.ctx)
    walls = [each.wall_ms for each in row.sessions]
    measured = (row.wall_ms, min(walls), max(walls))
    return _row((fold.kind, fold.name), place, row.configuration, row.dtype, measured, estimate)


def _published(known: Constants) -> Iterator[HeldOut]:
    """Yields the paper's steps, for each configuration that may be the paper's."""
    for figure in paper.quantised_rows():
        yield from _paper_rows(known, figure, figure.quant, paper.KERNELS[figure.kernel], figure.step_ms)
    for floor_figure in paper.floor_rows():
        yield from _paper_rows(known, floor_figure, UNQUANTISED, "cublas", paper.implied_ms(floor_figure))
    for pair in paper.graphs_rows():
        for runtime, step_ms in (("eager", pair.a_ms), ("graph", pair.b_ms)):
            if step_ms is not None:
                yield from _paper_rows(known, pair, UNQUANTISED, "cublas", step_ms, runtime)


def _paper_rows(
    known: Constants, place: paper.Place, quant: str, kernel: str, step_ms: float, runtime: str | None = None
) -> Iterator[HeldOut]:
    """Yields a row for each configuration: the runtime that the paper names, else those that launch kernel by kernel or
    that the kernel's package has. An unquantised eager cell has the growing cache, which is transformers' default."""
    gpu = paper.gpu(place.gpu)
    runtimes = (runtime,) if runtime else ("eager", kernel)
    for each in known.configurations:
        is_usual = each.runtime != "eager" or quant != UNQUANTISED or each.cache == DYNAMIC
        if (each.quant, each.kernel) == (quant, kernel) and each.runtime in runtimes and is_usual:
            card = Card(gpu.key, gpu.compute_capability, gpu.bandwidth_gbs.value or 0.0)
            estimate = estimates.estimate(known, card, paper.shape(place.model), place.ctx, each)
            yield _row((PAPER, PAPER), place, each, each.dtype, (step_ms, None, None), estimate)


def _row(
    held_out: tuple[str, str],
    place: paper.Place,
    configuration: Configuration,
    dtype: str,
    measured: tuple[float, float | None, float | None],
    estimate: Estimate,
) -> HeldOut:
    """Returns the row of what was held out, (kind, name), with the measured step, its fastest and slowest session."""
    kind, without = held_out
    measured_ms, fastest_ms, slowest_ms = measured
    return HeldOut(
        kind=kind,
        without=without,
        gpu=place.gpu,
        model=place.model,
        ctx=place.ctx,
        **vars(configuration),
        dtype=dtype,
        measured_ms=measured_ms,
        fastest_ms=fastest_ms,
        slowest_ms=slowest_ms,
        step_ms=estimate.step_ms,
        low_ms=estimate.low_ms,
        high_ms=estimate.high_ms,
        error=estimate.step_ms / measured_ms - 1,
        inside=estimate.contains(measured_ms),
        limit=estimate.limit,
        basis=estimate.basis,
        caveats=list(estimate.caveats),
    )
