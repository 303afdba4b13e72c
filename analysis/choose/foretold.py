"""Candidates that are predicted: configurations that neither were measured nor need a record."""

from __future__ import annotations

import math
from collections.abc import Collection

from analysis import prices as pricing
from analysis.choose.candidate import PREDICTED, Candidate, Configuration
from analysis.choose.scope import Scope
from analysis.prediction import predicted
from analysis.prediction.estimates import UNTESTED
from analysis.prediction.predicted import Prediction
from analysis.prices import Prices
from runner.cell import catalogue


def candidates(scope: Scope, tokens: int, measured: Collection[Configuration], prices: Prices) -> list[Candidate]:
    """Returns the predictions in the scope without those that were measured.

    Raises UnknownName, BadValue and NotAvailable if the constants do not cover the model or its context.
    """
    known = [name for name in scope.gpus if has_bandwidth(name)]
    found = (_candidate(each, tokens, prices) for each in predicted.predictions(known, scope.model, scope.ctx))
    return [each for each in found if each.configuration not in measured]


def has_bandwidth(name: str) -> bool:
    """Returns whether a GPU is in the catalogue with its bandwidth."""
    entry = catalogue.gpus().get(name)
    return entry is not None and entry.bandwidth_gbs.value is not None


def _candidate(found: Prediction, tokens: int, prices: Prices) -> Candidate:
    return Candidate(
        configuration=Configuration(
            found.gpu, found.model, found.ctx, found.quant, found.kernel, found.runtime, found.cache
        ),
        basis=PREDICTED,
        source="; ".join((f"{found.basis}, {found.limit}", *found.caveats)),
        untested=found.basis == UNTESTED,
        step_ms=found.step_ms,
        chunk_ms=tokens * found.step_ms,
        low_ms=found.low_ms,
        high_ms=found.high_ms if math.isfinite(found.high_ms) else None,
        usd_per_mtok=pricing.usd_per_mtok(found.gpu, found.step_ms, prices),
        memory_left_bytes=None if found.memory_bytes is None else found.memory_bytes - found.needed_bytes,
    )
