"""Predictions and their check at a terminal: as many columns as fit, one line for each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.cellcolumns import CELL
from analysis.form import Column
from analysis.prediction import folds, predicttext
from analysis.prediction.heldout import PAPER, Check, HeldOut
from analysis.prediction.predicted import Prediction
from analysis.prediction.predicttext import LIMIT, STEP, Section
from analysis.terminaltable import CONFIGURATION, Texts, lines, more, names, texts, wrapped
from runner.layout import WIDTH

NAMED = ("quant", "kernel", "runtime")
PLACE = ("gpu", "model", "ctx")
MARK = "!"
RANGE = Column("range ms", "short_range", unit="ms")
BASIS = Column("basis", "short_basis")
COLUMNS = {column.title: column for column in predicttext.COLUMNS}
VALUES = (STEP, RANGE, COLUMNS["tokens/s"], COLUMNS["floor ms"], COLUMNS["memory GB"], LIMIT, BASIS)
EXPENDABLE = ("tokens/s", "floor ms", "memory GB")
"""Columns of predictions that a narrow terminal does without, the first to go first."""
ERROR = Column("error", "error", "+z.0%", unit="1")
CHECKED = (STEP, RANGE, ERROR, LIMIT)
EXPENDABLE_OF_CHECK = (LIMIT.title, RANGE.title)
PUBLISHED = (STEP, RANGE, LIMIT, BASIS)
EXPENDABLE_OF_PAPER = (LIMIT.title, STEP.title, BASIS.title)
"""Columns of the check that do so. An error is from the step, and the paper's steps have none beside their range."""
MORE = more("notes")
MORE_OF_CHECK = more("what was held out of each fit")


def predictions(rows: Sequence[Prediction], width: int = WIDTH) -> str:
    """Returns predictions of one GPU, model and ctx."""
    configurations = zip(rows, names(rows, PLACE, NAMED, ("cache",)), strict=True)
    marked = [f"{name}{MARK if row.misfit else ''}" for row, name in configurations]
    table = lines([Texts(CONFIGURATION, marked), *(texts(value, rows) for value in VALUES)], EXPENDABLE, width)
    misfits = dict.fromkeys(f"{MARK} {row.misfit}" for row in rows if row.misfit)
    below = wrapped([*misfits, *_common(rows), *predicttext.sentences(rows), MORE], width)
    return "\n".join([predicttext.title(rows), "", *table, "", *below]) + "\n"


def _common(rows: Sequence[Prediction]) -> Iterator[str]:
    """Yields the conditions that all predictions have."""
    first, *others = rows
    common = [caveat for caveat in first.caveats if all(caveat in row.caveats for row in others)]
    if common:
        yield f"{'Each row' if others else 'Its conditions'}: {'; '.join(common)}."


def check(found: Check, width: int = WIDTH) -> str:
    """Returns the check: the held-out rows, the paper's figures, and the summary."""
    above = [line for section in predicttext.sections(found) for line in _section(section, width)]
    below = wrapped([*predicttext.summary(found), MORE_OF_CHECK], width)
    return "\n".join([*above, predicttext.SUMMARY, "", *below]) + "\n"


def _section(section: Section, width: int) -> Iterator[str]:
    rows = section.rows
    is_paper = rows[0].kind == PAPER
    values, expendable = (PUBLISHED, EXPENDABLE_OF_PAPER) if is_paper else (CHECKED, EXPENDABLE_OF_CHECK)
    columns = (
        *(texts(CELL[field], rows) for field in PLACE),
        Texts(CONFIGURATION, names(rows, PLACE, NAMED, ("cache", "dtype"))),
        Texts("paper" if is_paper else "measured", [*map(_measured, rows)], is_number=True),
        *(texts(value, rows) for value in values),
    )
    yield from (*wrapped([section.title], width), "", *lines(columns, expendable, width), "")
    legend = [] if all(row.inside for row in rows) else [f"{MARK} outside the range"]
    if below := wrapped([*legend, *_held_out_together(rows), *section.notes], width):
        yield from (*below, "")


def _held_out_together(rows: Sequence[HeldOut]) -> Iterator[str]:
    for without in dict.fromkeys(row.without for row in rows if row.kind == folds.LAYERS):
        yield f"Held out together: {without}."


def _measured(row: HeldOut) -> str:
    return f"{row.measured_ms:.2f}{' ' if row.inside else MARK}"
