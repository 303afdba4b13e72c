"""Candidates that the paper reports: quantised decode, the arms of its CUDA Graphs A/Bs, and steps that follow from
its R_floor."""

from __future__ import annotations

from collections.abc import Iterator

from analysis import paper
from analysis import prices as pricing
from analysis.choose import memory
from analysis.choose.candidate import PUBLISHED, Candidate, Configuration
from analysis.choose.scope import Scope
from analysis.prices import Prices
from runner import registry
from runner.cell import floors

EAGER, GRAPH = "eager", "graph"
PAPER = "arXiv 2605.30571"


def candidates(scope: Scope, tokens: int, prices: Prices) -> list[Candidate]:
    """Returns the paper's steps in the scope. An R_floor counts only where the paper states no unquantised step."""
    stated = [each for each in _stated(tokens, prices) if _is_inside(each, scope)]
    plain = {each.configuration.gpu for each in stated if each.configuration.quant == paper.UNQUANTISED}
    implied = [
        each for each in _implied(tokens, prices) if _is_inside(each, scope) and each.configuration.gpu not in plain
    ]
    return [*stated, *implied]


def _is_inside(candidate: Candidate, scope: Scope) -> bool:
    found = candidate.configuration
    return scope.has(found.gpu, found.model, found.ctx)


def _stated(tokens: int, prices: Prices) -> Iterator[Candidate]:
    for row in paper.quantised_rows():
        yield _candidate(row, row.quant, row.kernel, "", row.step_ms, tokens, prices, PAPER)
    for ab in paper.graphs_rows():
        for runtime, step_ms in ((EAGER, ab.a_ms), (GRAPH, ab.b_ms)):
            if step_ms is not None:
                yield _candidate(ab, paper.UNQUANTISED, "", runtime, step_ms, tokens, prices, PAPER)


def _implied(tokens: int, prices: Prices) -> Iterator[Candidate]:
    for row in paper.floor_rows():
        source = f"{PAPER}, implied by its R_floor"
        yield _candidate(row, paper.UNQUANTISED, "", EAGER, paper.implied_ms(row), tokens, prices, source)


def _candidate(
    place: paper.Place, quant: str, kernel: str, runtime: str, step_ms: float, tokens: int, prices: Prices, source: str
) -> Candidate:
    return Candidate(
        configuration=Configuration(place.gpu, place.model, place.ctx, quant, kernel, runtime, ""),
        basis=PUBLISHED,
        source=source,
        step_ms=step_ms,
        chunk_ms=tokens * step_ms,
        usd_per_mtok=pricing.usd_per_mtok(place.gpu, step_ms, prices),
        memory_left_bytes=memory.left_bytes(place.gpu, _held_bytes(place, quant)),
    )


def _held_bytes(place: paper.Place, quant: str) -> float:
    """Returns weights and KV cache by our accounting; the paper states no memory."""
    shape = paper.shape(place.model)
    weights = registry.weight_bytes(quant, registry.default_scheme(quant), shape, paper.DTYPE_BYTES)
    return weights + floors.kv_bytes_per_token(shape, paper.DTYPE_BYTES) * place.ctx
