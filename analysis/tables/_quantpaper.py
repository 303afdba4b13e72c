"""The paper's quantised decode as rows of the quantisation table."""

from __future__ import annotations

from analysis import paper
from analysis.paper import QuantFigure
from analysis.prices import NONE, Prices, usd_per_mtok
from analysis.tables._baselines import UNQUANTISED
from analysis.tables._quantrows import PaperRow
from runner import registry
from runner.cell import floors

DTYPE_BYTES = 2


def paper_rows(prices: Prices = NONE) -> list[PaperRow]:
    """Returns the paper's steps with bytes and floors by our accounting. The first row is the baseline of the
    others."""
    baseline, *_ = figures = paper.quantised_rows()
    return [_paper_row(figure, baseline, prices) for figure in figures]


def _paper_row(figure: QuantFigure, baseline: QuantFigure, prices: Prices) -> PaperRow:
    streamed = _streamed_bytes(figure)
    floor_ms = floors.floor_ms(streamed, figure.bandwidth_gbs)
    # the paper has an R_floor for another step of this cell, which the paper check shows
    has_r_floor = paper.two_steps(*figure.spot, figure.quant)
    return PaperRow(
        gpu=figure.gpu,
        model=figure.model,
        ctx=figure.ctx,
        quant=figure.quant,
        kernel=figure.kernel,
        step_wall_ms=figure.step_ms,
        bytes_streamed=streamed,
        floor_ms=floor_ms,
        r_floor=None if has_r_floor else floor_ms / figure.step_ms,
        usd_per_mtok=usd_per_mtok(figure.gpu, figure.step_ms, prices),
        against=UNQUANTISED,
        flags=[],
        valid=True,
        source="paper",
        ideal=_streamed_bytes(baseline) / streamed,
        realised=baseline.step_ms / figure.step_ms,
    )


def _streamed_bytes(figure: QuantFigure) -> float:
    return registry.streamed_bytes(figure.quant, paper.shape(figure.model), figure.ctx, DTYPE_BYTES)
