"""Predictions and their check as Markdown, and the sentences of both."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.cellcolumns import CELL, FLOOR_MS
from analysis.form import Column, markdown_table
from analysis.percent import percent
from analysis.prediction import folds
from analysis.prediction.constants import SIZE_MARGIN
from analysis.prediction.estimates import UNTESTED
from analysis.prediction.heldout import PAPER, Check, HeldOut
from analysis.prediction.predicted import Prediction
from analysis.prediction.stepmodel import HOST_BOUND
from runner.counts import counted, listed

MEDIAN_GOAL, WORST_GOAL, INSIDE_GOAL = 0.10, 0.25, 0.90
"""Goals of the check within a measured architecture: median and worst error, and share of rows inside their ranges."""
STEP = Column("ms/step", "step_ms", ".2f", unit="ms", help="predicted step")
RANGE = Column("range (ms)", "range", unit="ms", help="range of the predicted step")
LIMIT = Column("limit", "limit", help="the term that wins")
COLUMNS = (
    *(CELL[name] for name in ("quant", "kernel", "runtime", "cache")),
    STEP,
    RANGE,
    Column("tokens/s", "tokens_per_s", ".1f", unit="1/s", help="1000 over ms/step"),
    FLOOR_MS,
    LIMIT,
    Column("memory GB", "needed_bytes", ".1f", scale=1e9, unit="GB", help="memory that a session needs"),
    Column("basis", "basis", help="architecture and GPUs of the records that the constants were fitted on"),
    Column("notes", "notes", help="conditions of the prediction"),
)
HELD_OUT_COLUMNS = (
    Column("without", "without", help="GPU or models whose records were held out of the fit"),
    *(CELL[name] for name in ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "dtype")),
    Column("measured (ms)", "measured_ms", ".2f", unit="ms", help="measured step"),
    STEP,
    RANGE,
    Column("error", "error", "+.1%", unit="1", help="predicted over measured, minus 1"),
    Column("", "verdict", help="whether the measured step lies in the range"),
    LIMIT,
)
PAPER_COLUMNS = (
    *(CELL[name] for name in ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache")),
    Column("paper (ms)", "measured_ms", ".2f", unit="ms", help="the paper's step"),
    STEP,
    RANGE,
    HELD_OUT_COLUMNS[-2],
    LIMIT,
    Column("basis", "basis", help="what the prediction is based on"),
)
TITLES = {
    folds.GPU: "Same architecture: each GPU from the records of the others",
    folds.MODEL: "Each model from the records of the others",
    folds.LAYERS: "Models of equal layers from the records of the others",
    PAPER: "Figures of the paper, which are never fitted",
}
"""Titles of the check's sections, by the kind of their rows."""
SUMMARY = "Summary"


@dataclass(frozen=True)
class Section:
    """Rows of the check of one kind, and what could not be checked."""

    title: str
    rows: Sequence[HeldOut]
    notes: Sequence[str] = ()

    @property
    def columns(self) -> Sequence[Column]:
        return PAPER_COLUMNS if self.rows[0].kind == PAPER else HELD_OUT_COLUMNS


def predictions_text(rows: Sequence[Prediction]) -> str:
    """Returns predictions of one GPU, model and ctx as Markdown."""
    below = (f"- {sentence}" for sentence in sentences(rows))
    return "\n".join([title(rows), "", *markdown_table(rows, COLUMNS), "", *below, ""])


def title(rows: Sequence[Prediction]) -> str:
    """Returns what the predictions have in common."""
    return f"Predicted, not measured: {rows[0].model} at ctx {rows[0].ctx} on {rows[0].gpu}."


def sentences(rows: Sequence[Prediction]) -> Iterator[str]:
    """Yields how to read the predictions."""
    if any(row.basis == UNTESTED for row in rows):
        yield (
            f"`{UNTESTED}`: no card of this architecture has a record of it. The range is [floor, floor / smallest "
            "share seen], or up to the step of a measured card if that is longer; ms/step is its geometric middle, not "
            "an expectation."
        )
    if any(row.limit == HOST_BOUND for row in rows):
        yield f"`{HOST_BOUND}`: the host launches more slowly than the GPU works; another host differs."
    yield "Speed only: accuracy is not predicted."


def check_text(check: Check) -> str:
    """Returns the check as Markdown: the held-out rows, the paper's figures, and the summary."""
    lines: list[str] = []
    for each in sections(check):
        notes = [*(f"- {note}" for note in each.notes), ""] if each.notes else []
        lines += [f"**{each.title}**", "", *markdown_table(each.rows, each.columns), "", *notes]
    return "\n".join([*lines, f"**{SUMMARY}**", "", *(f"- {line}" for line in summary(check)), ""])


def sections(check: Check) -> Iterator[Section]:
    """Yields the kinds of held-out rows, and the paper's figures."""
    for kind, title in TITLES.items():
        if rows := [row for row in check.rows if row.kind == kind]:
            yield Section(title, rows, [*_not_checked(check, kind)])


def _not_checked(check: Check, kind: str) -> Iterator[str]:
    """Yields a sentence for each fold of a kind, with the rows that the remaining records do not cover."""
    for fold, rows in check.uncovered:
        if fold.kind == kind:
            names = sorted({" ".join(vars(row.configuration).values()) for row in rows})
            yield (
                f"Not checked without {fold.name}, since no other record has the configuration and a model within a "
                f"factor of {SIZE_MARGIN:g} in size: {'; '.join(names)}."
            )


def summary(check: Check) -> Iterator[str]:
    """Yields what the check shows, against the goals."""
    tested = [row for row in check.rows if row.is_tested]
    yield _result("Within a measured architecture", tested)
    goals = f"a median of {percent(MEDIAN_GOAL)}, a worst of {percent(WORST_GOAL)} and {percent(INSIDE_GOAL)} inside"
    yield f"The goals are {goals}: {_met(tested)}."
    host_bound = [row for row in tested if row.limit == HOST_BOUND]
    yield _result("Rows limited by the GPU", [row for row in tested if row not in host_bound])
    yield _result("Host-bound rows", host_bound)
    for row in tested:
        if abs(row.error) > WORST_GOAL or not row.inside:
            sessions = f"sessions of {row.fastest_ms:.2f} to {row.slowest_ms:.2f} ms"
            error = percent(row.error, "+.1%")
            yield f"{row.verdict.capitalize()}, {error}: {_name(row)}, without {row.without}; {sessions}."
    untested = [row for row in check.rows if row.basis == UNTESTED]
    inside = sum(row.inside for row in untested)
    yield f"The paper's steps on architectures without a record: {inside} of {counted(len(untested), 'row')} inside."
    others = [row for row in check.rows if not row.is_tested and row.basis != UNTESTED]
    inside = sum(row.inside for row in others)
    yield (
        f"The paper's steps on measured architectures: {inside} of {counted(len(others), 'row')} inside. Its host and "
        "versions are not known, so that these do not count above."
    )


def _result(title: str, rows: Sequence[HeldOut]) -> str:
    if not rows:
        return f"{title}: no row."
    errors = [abs(row.error) for row in rows]
    inside = sum(row.inside for row in rows)
    width = statistics.median((row.high_ms - row.low_ms) / 2 / row.step_ms for row in rows)
    return (
        f"{title}: {counted(len(rows), 'row')}, median error {percent(statistics.median(errors), '.1%')}, worst "
        f"{percent(max(errors), '.1%')}, {inside} inside their ranges ({percent(inside / len(rows))}), which are "
        f"±{percent(width)} wide (median)."
    )


def _met(rows: Sequence[HeldOut]) -> str:
    """Returns which goals are met, and by how much the others are missed."""
    if not rows:
        return "no row can be held out"
    worst = max(rows, key=lambda row: abs(row.error))
    excesses = {
        "the median": statistics.median(abs(row.error) for row in rows) - MEDIAN_GOAL,
        f"the worst ({_name(worst)})": abs(worst.error) - WORST_GOAL,
        "the share inside": INSIDE_GOAL - sum(row.inside for row in rows) / len(rows),
    }
    missed = [f"{name} misses by {100 * excess:.1f} points" for name, excess in excesses.items() if excess > 0]
    return listed(missed, "and") if missed else "all are met"


def _name(row: HeldOut) -> str:
    fields = (row.gpu, row.model, row.ctx, row.quant, row.kernel, row.runtime, row.cache, row.dtype)
    return " ".join(map(str, fields))
