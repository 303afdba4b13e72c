"""The product of two ratios of steps, dynamic over static cache and eager over graph: derived, not measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from analysis import abrows, paper
from analysis.ab import Measured
from analysis.group import Group
from analysis.tables import _graphsgain
from analysis.tables._claimquantity import of_gain, of_step, over, times
from analysis.tables._claimrow import Quantity
from analysis.tables._differencerow import DerivedRow
from analysis.tables._graphsgain import EAGER, GRAPH, Gain
from analysis.tables._trace import Traces
from runner.record.flags import MIXED_HOST

Cells = Mapping[tuple[str, str], tuple[Group, Quantity]]
"""Groups of a place with their steps in ms, by runtime and cache."""
Gains = Mapping[paper.Spot, Gain]
DYNAMIC, STATIC = "dynamic", "static"
CACHE_AB, GRAPH_AB = "A/B of the cache (eager, dynamic against static)", "A/B of eager against graph (static)"
ABS, ROWS = "A/Bs", "rows"
CELLS = ((EAGER, DYNAMIC), (EAGER, STATIC), (GRAPH, STATIC))


def cache_gains(compared: Sequence[Measured]) -> Gains:
    """Returns the A/Bs of the cache of an eager step, dynamic over static, by place; the newest of each."""
    measured = [each for each in compared if each.manifest.field == "cache"]
    eager = [each for each in measured if each.manifest.arms["a"].cell.runtime == EAGER]
    rows = sorted((abrows.row(each) for each in eager), key=lambda row: row.last_start_ms)
    gains = [_graphsgain.gain(row, DYNAMIC, STATIC) for row in rows if row.is_usual]
    return {(gain.row.gpu, gain.row.model, gain.row.ctx): gain for gain in gains if gain is not None}


def derived_rows(
    asked: Sequence[paper.Spot], plain: Sequence[Group], cache: Gains, graph: Gains, traces: Traces
) -> list[DerivedRow]:
    """Returns a row for each place that is asked for, and for each other that has both ratios."""
    newest = sorted(plain, key=lambda group: group.last_start_ms)
    spots = dict.fromkeys([*asked, *((group.gpu, group.model, group.ctx) for group in plain)])
    gains = {spot: [of_gain(kind.get(spot), traces) for kind in (cache, graph)] for spot in spots}
    rows = [_row(spot, _cells(newest, spot, traces), *gains[spot]) for spot in spots]
    return [row for row in rows if row.product is not None or (row.gpu, row.model, row.ctx) in asked]


def _cells(newest: Sequence[Group], spot: paper.Spot, traces: Traces) -> Cells:
    here = [group for group in newest if (group.gpu, group.model, group.ctx) == spot]
    return {(group.runtime, group.cache): (group, of_step(group, traces)) for group in here}


@dataclass(frozen=True)
class _Ratios:
    source: str
    cache: Quantity
    graph: Quantity
    product: Quantity


def _ratios(cells: Cells, cache: Quantity | None, graph: Quantity | None) -> _Ratios | None:
    """Returns both ratios and their product, from A/Bs if there are both, else from rows, None without all rows.

    In rows the static cache cancels, so that the product is the first row over the last. Rows without a common host
    differ in their hosts, too, and are flagged.
    """
    if cache is not None and graph is not None:
        return _Ratios(ABS, cache, graph, times(cache, graph))
    rows = [cells[cell] for cell in CELLS if cell in cells]
    if len(rows) < len(CELLS):
        return None
    dynamic, static, captured = (step for _, step in rows)
    first, second, product = over(dynamic, static), over(static, captured), over(dynamic, captured)
    assert first is not None
    assert second is not None
    assert product is not None
    both = times(first, second)
    common = set.intersection(*(set(group.hosts) for group, _ in rows))
    flags = both.flags if common else sorted({*both.flags, MIXED_HOST})
    return _Ratios(ROWS, first, second, replace(both, low=product.low, high=product.high, flags=flags))


def _row(spot: paper.Spot, cells: Cells, cache: Quantity | None, graph: Quantity | None) -> DerivedRow:
    found = _ratios(cells, cache, graph)
    missing = [name for name, gain in ((CACHE_AB, cache), (GRAPH_AB, graph)) if gain is None]
    if found is None:
        missing += [f"row {runtime}, {kind}" for runtime, kind in CELLS if (runtime, kind) not in cells]
    gpu, model, ctx = spot
    return DerivedRow(
        gpu=gpu,
        model=model,
        ctx=ctx,
        source=None if found is None else found.source,
        cache_ratio=None if found is None else found.cache.value,
        graph_ratio=None if found is None else found.graph.value,
        product=None if found is None else found.product.value,
        product_low=None if found is None else found.product.low,
        product_high=None if found is None else found.product.high,
        sessions=None if found is None else found.product.sessions,
        flags=[] if found is None else found.product.flags,
        missing="; ".join(missing),
        origins={} if found is None else found.product.origins,
    )
