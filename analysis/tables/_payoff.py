"""The quantisation that pays most on a GPU, against the fastest unquantised runtime."""

from __future__ import annotations

from collections.abc import Sequence

from analysis import protocoltitles
from analysis.form import titles, unrepeated
from analysis.question import Line, Question, flagged
from analysis.statistics import intervals
from analysis.tables._baselines import UNQUANTISED
from analysis.tables._quantpaper import paper_rows
from analysis.tables._quantrows import AnyRow, QuantRow
from runner.counts import counted

CONFIGURATION = ("quant", "kernel", "runtime")
DISTINGUISHING = ("dtype", "cache", "options", "protocol", "env_key", "code_key")


def savings(table: Sequence[AnyRow], gpu: str) -> list[QuantRow]:
    """Returns the quantised rows of a GPU that have a saving, each cell in one protocol, the largest first."""
    rows = [row for row in table if isinstance(row, QuantRow) and row.gpu == gpu]
    found = [row for row in rows if row.quant != UNQUANTISED and row.realised is not None]
    return sorted(protocoltitles.comparable(found), key=_saving, reverse=True)


def _saving(row: QuantRow) -> float:
    assert row.realised is not None
    return row.realised


def quant_line(table: Sequence[AnyRow], gpu: str) -> Line:
    """Returns the largest saving of a GPU, with the tail of its steps and the number of rows that save."""
    rows = savings(table, gpu)
    if not rows:
        missing = "No quantised cell was measured on one host with an unquantised one"
        return Line(f"{missing}{_of_the_paper(gpu)}")
    best, *_ = rows
    here = [row for row in rows if (row.model, row.ctx) == (best.model, best.ctx)]
    name = unrepeated(titles(here, CONFIGURATION, DISTINGUISHING)[here.index(best)])
    slower = "" if _saving(best) > 1 else "no median is faster; the best is "
    tail = "" if best.step_wall_p90_ms is None else f", p90 {best.step_wall_p90_ms:.2f} ms"
    step = f"step {best.step_wall_ms:.2f} ms{tail} ({best.model}, ctx {best.ctx})"
    faster = sum(_saving(row) > 1 for row in rows)
    count = f"faster by the median in {faster} of {counted(len(rows), 'row')}"
    text = f"{slower}{name}{_span(best)} over {best.against}: {step}; {count}"
    return Line(text, f"{_saving(best):.2f}×", best, _caveat(best, _quicker_elsewhere(table, best)))


def _span(row: QuantRow) -> str:
    known = row.realised_low is not None and row.realised_interval != intervals.NONE
    return f" [{row.realised_low:.2f}–{row.realised_high:.2f}]" if known else ""


def _quicker_elsewhere(table: Sequence[AnyRow], best: QuantRow) -> QuantRow | None:
    """Returns the fastest unquantised row of the same model, ctx and protocol that is faster than the best quantised
    one, None if no row is. Its sessions ran on other hosts, or it would be the baseline."""
    place = (best.gpu, best.model, best.ctx, best.protocol)
    rows = [row for row in table if isinstance(row, QuantRow) and row.quant == UNQUANTISED]
    quicker = [row for row in rows if (row.gpu, row.model, row.ctx, row.protocol) == place]
    fastest = min(quicker, key=lambda row: row.step_wall_ms, default=None)
    return fastest if fastest is not None and fastest.step_wall_ms < best.step_wall_ms else None


def _caveat(row: QuantRow, quicker: QuantRow | None) -> str:
    few = "" if row.realised_interval == intervals.CI95 else f"No verdict with n = {row.sessions}"
    elsewhere = (
        ""
        if quicker is None
        else f"On other hosts unquantised {quicker.runtime} {quicker.dtype} takes {quicker.step_wall_ms:.2f} ms, less "
        "than this step"
    )
    return ". ".join(filter(None, (elsewhere, few, flagged(row.flags))))


def _of_the_paper(gpu: str) -> str:
    _, *quantised = paper_rows()
    known = [f"{row.realised:.2f}× ({row.quant} {row.kernel})" for row in quantised if row.gpu == gpu]
    return f"; the paper's steps give {', '.join(known)}" if known else ""


SCOPE = "against the fastest unquantised runtime on the same hosts"
QUESTIONS = (Question("Which quantisation pays?", quant_line, SCOPE),)
