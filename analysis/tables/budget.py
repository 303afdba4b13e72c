"""The gap budget: where the time of each cell's step goes, as terms that add up to it (see `_clocks`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from analysis import groups
from analysis.cellcolumns import CELL, FLAGS, SESSIONS, WALL, cell_columns
from analysis.form import Column, distinguishing, sentences_of_invalid, titles
from analysis.group import Group, shared
from analysis.reading import Reading
from analysis.sources.frame import Frame
from analysis.table import Figure, Part, Table
from analysis.tables import _clocks, _remedies
from analysis.tables._budgetrow import FROM, MS, BudgetRow, GroupRow
from analysis.tables._clocks import TERMS

if TYPE_CHECKING:
    from analysis.figures.style import Drawn

METRICS = (
    "step_wall_ms",
    "step_wall_revisit_ms",
    "step_span_ms",
    "step_rate_ms",
    "profiled_span_ms",
    "step_busy_ms",
    "kernel_sum_ms",
    "kernels_per_step",
    "launch_us",
    "floor_ms",
    "floor_achievable_ms",
    "read_gbs",
)
APART = "passes_apart"
CELL_FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "dtype", "options")
NAMED_FIELDS = ("gpu", "model", "ctx", "quant", "runtime", "cache")
DISTINGUISHING_FIELDS = ("kernel", "dtype", "options", "attention", "weights_id", "protocol", "env_key", "code_key")


def rows(frame: Frame, every_code: bool = False) -> list[GroupRow]:
    """Returns one `BudgetRow` per group of valid sessions, then the other groups."""
    apart = replace(frame, sessions=frame.sessions.with_columns(_clocks.sessions_apart().alias(APART)))
    found = groups.rows(apart, (*METRICS, APART), every_code)
    others = [GroupRow(**shared(group, GroupRow)) for group in found if not group.valid]
    return [*(budget_row(group) for group in found if group.valid), *others]


def budget_row(group: Group) -> BudgetRow:
    """Returns the budget of valid sessions."""
    terms = list(_clocks.terms_of(group))
    largest = _remedies.largest(group, terms)
    own = {
        **shared(group, BudgetRow),
        "terms": terms,
        "uncertainty": _clocks.uncertainty(group),
        "cuts": [f"{cut.name} by {cut.cut_ms:.3f}" for cut in _clocks.cuts_of(group)],
        "is_attributed": _clocks.is_attributed(group),
        "largest": None if largest is None else largest.name,
        "sentence": _remedies.sentence(group, terms, largest),
    }
    return BudgetRow(**own)


MEANINGS = {
    _clocks.FLOOR: "reading the bytes at the datasheet's bandwidth",
    _clocks.ACHIEVED: "what this device's own read bandwidth adds to it",
    _clocks.KERNELS: "what the kernels take beyond reading their bytes",
    _clocks.GAPS: "the device is idle between kernels",
    _clocks.KERNELS_AND_GAPS: "both, where they overlap or were not told apart",
    _clocks.HOST: "reading the token back and synchronising",
    _clocks.FIRST_VISIT: "a context length that the process meets for the first time (a growing cache only)",
    _clocks.NOT_ATTRIBUTED: "what lies between passes that disagree",
    _clocks.REST: "all but the floor, on a CPU",
}
"""Term → what it is."""
COUNTS = (
    SESSIONS,
    WALL,
    Column(
        "passes apart",
        "uncertainty",
        ".1%",
        optional=True,
        unit="1",
        help="how far passes over the same lengths lie apart, as a share of the step: the terms' uncertainty",
    ),
)
TERM_COLUMNS = {
    name: Column(name, f"{MS}{name}", ".2f", optional=True, unit="ms", help=f"term of the gap budget: {text}")
    for name, text in MEANINGS.items()
}
LAUNCHING = (
    Column(
        "cut (ms)",
        "cuts",
        optional=True,
        unit="ms",
        help="the clocks that were longer than the one above them, and by how much they were cut to it",
    ),
    Column("kernels a step", "kernels_per_step", ".0f", optional=True, help="kernels launched in a step"),
    Column("launch µs", "launch_us", ".2f", optional=True, unit="µs", help="the launch of an empty kernel"),
    FLAGS,
)


def columns(valid: Sequence[BudgetRow]) -> list[Column]:
    """Returns the columns for valid rows. A term that does not come from the same passes in all of them has a column
    that tells; `passes` tells it of the others."""
    named = cell_columns((*NAMED_FIELDS, *distinguishing(valid, NAMED_FIELDS, DISTINGUISHING_FIELDS)))
    return [*named, *COUNTS, *(column for term in TERMS for column in _term_columns(valid, term)), *LAUNCHING]


def _term_columns(valid: Sequence[BudgetRow], name: str) -> Iterator[Column]:
    yield TERM_COLUMNS[name]
    if len(_origins(valid, name)) > 1:
        yield Column(f"{name} from", f"{FROM}{name}")


def _origins(valid: Sequence[BudgetRow], name: str) -> list[str]:
    return list(dict.fromkeys(term.of for row in valid for term in row.terms if term.name == name))


def budgets(table: Sequence[GroupRow]) -> list[BudgetRow]:
    """Returns the rows that have a budget."""
    return [row for row in table if isinstance(row, BudgetRow)]


def passes(table: Sequence[GroupRow]) -> str:
    """Returns a sentence on the two clocks that each term lies between, empty without a budget."""
    valid = budgets(table)
    found = {name: origins for name in TERMS if (origins := _origins(valid, name))}
    told = (f"`{name}` {ends[0] if len(ends) == 1 else 'as its column says'}" for name, ends in found.items())
    return f"The passes, probes and bytes between which each term lies: {'; '.join(told)}." if valid else ""


def remedies(table: Sequence[GroupRow]) -> list[str]:
    """Returns for each budget what takes most time beyond the floor and what would remove it, or why none is named."""
    valid = budgets(table)
    names = titles(valid, NAMED_FIELDS, DISTINGUISHING_FIELDS)
    return [f"{name}: {row.sentence}." for name, row in zip(names, valid, strict=True)]


def _lines(table: Sequence[GroupRow]) -> list[str]:
    others = [row for row in table if not row.valid]
    fields = (*CELL_FIELDS, *distinguishing(others, CELL_FIELDS, DISTINGUISHING_FIELDS))
    return [*(f"- {sentence}" for sentence in remedies(table)), *sentences_of_invalid(others, fields)]


def _parts(table: Sequence[GroupRow]) -> Iterator[Part]:
    valid = budgets(table)
    yield Part("budget", "The terms of each step, in ms", valid, columns(valid), first=("step_wall_ms",))


def _draw(table: Sequence[GroupRow], _reading: Reading) -> Drawn | None:
    from analysis.figures import budget as figure

    return figure.draw(table)


TABLE = Table(
    name="budget",
    order=40,
    title="Where a step's time goes",
    help="Where a step's time goes, in terms that add up to it, and what would remove the largest.",
    heading="Where the time goes",
    intro="The terms of a row add up to its step. `passes apart` is their uncertainty.",
    metrics=METRICS,
    columns=(*CELL.values(), *COUNTS, *TERM_COLUMNS.values(), *LAUNCHING),
    rows=lambda reading: rows(reading.frame, reading.every_code),
    parts=_parts,
    note=passes,
    sentences=remedies,
    summary="What takes most, and what would remove it",
    lines=_lines,
    figures=(Figure("budget", _draw),),
)
