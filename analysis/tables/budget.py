"""The gap budget: terms that add up to the step of each cell (see `_clocks`)."""

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
from runner.record import phases

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
    *(f"kernels_{name}_ms" for name in phases.NAMES),
    "kernels_per_step",
    "launch_us",
    "floor_ms",
    "floor_achievable_ms",
    "read_gbs",
)
APART = "passes_apart"
CELL_FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "dtype", "options")
NAMED_FIELDS = ("gpu", "model", "ctx", "quant", "runtime", "cache")
FIRST = (
    *("gpu", "model", "ctx", "runtime", "step_wall_ms"),
    *(f"{MS}{name}" for name in (_clocks.FLOOR, _clocks.KERNELS, _clocks.GAPS, _clocks.NOT_ATTRIBUTED)),
    "flags",
)
EXPENDABLE = tuple(f"{MS}{name}" for name in (_clocks.NOT_ATTRIBUTED, _clocks.FLOOR, _clocks.GAPS, _clocks.KERNELS))
DISTINGUISHING_FIELDS = ("kernel", "dtype", "options", "attention", "weights_id", "protocol", "env_key", "code_key")


def rows(frame: Frame, every_code: bool = False) -> list[GroupRow]:
    """Returns one `BudgetRow` per group of valid sessions, then the other groups."""
    all_groups = groups_of(frame, every_code)
    invalid = [GroupRow(**shared(group, GroupRow)) for group in all_groups if not group.valid]
    return [*(budget_row(group) for group in all_groups if group.valid), *invalid]


def groups_of(frame: Frame, every_code: bool = False) -> list[Group]:
    """Returns the groups of a frame with the clocks of their steps."""
    extended = replace(frame, sessions=frame.sessions.with_columns(_clocks.sessions_apart().alias(APART)))
    return groups.rows(extended, (*METRICS, APART), every_code)


def budget_row(group: Group) -> BudgetRow:
    """Returns the budget of valid sessions."""
    terms = list(_clocks.terms_of(group))
    largest = _remedies.largest(group, terms)
    values = {
        **shared(group, BudgetRow),
        "terms": terms,
        "phases": _clocks.phases_of(group),
        "uncertainty": _clocks.uncertainty(group),
        "cuts": [f"{cut.name} by {cut.cut_ms:.3f}" for cut in _clocks.cuts_of(group)],
        "is_attributed": _clocks.is_attributed(group),
        "largest": None if largest is None else largest.name,
        "sentence": _remedies.sentence(group, terms, largest),
    }
    return BudgetRow(**values)


MEANINGS = {
    _clocks.FLOOR: "time to read the bytes at the datasheet bandwidth",
    _clocks.ACHIEVED: "additional time at the measured read bandwidth of this device",
    _clocks.KERNELS: "kernel time beyond reading the bytes",
    _clocks.GAPS: "idle time of the device between kernels",
    _clocks.KERNELS_AND_GAPS: "both terms, if they overlap or were not measured separately",
    _clocks.HOST: "host time to read the token back and synchronise",
    _clocks.NEW_LENGTH: "extra time at a context length that is new to the process (growing cache only)",
    _clocks.NOT_ATTRIBUTED: "time between passes that disagree",
    _clocks.REST: "everything but the floor, on a CPU",
}
"""Meaning of each term."""
COUNTS = (
    SESSIONS,
    WALL,
    Column(
        "passes apart",
        "uncertainty",
        ".1%",
        optional=True,
        unit="1",
        help="difference between passes over the same lengths, as a fraction of the step: the uncertainty of the terms",
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
        help="clocks that were longer than the one above them and were cut to it, with the excess",
    ),
    Column("kernels a step", "kernels_per_step", ".0f", optional=True, help="kernels launched per step"),
    Column("launch µs", "launch_us", ".2f", optional=True, unit="µs", help="launch overhead of an empty kernel"),
    FLAGS,
)


def columns(valid: Sequence[BudgetRow]) -> list[Column]:
    """Returns the columns for valid rows.

    A term whose bounding passes differ between rows has a column that names them; `passes` names those of the other
    terms.
    """
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
    """Returns a sentence with the passes, probes or bytes that bound each term; empty without a budget."""
    valid = budgets(table)
    origins_by_term = {name: origins for name in TERMS if (origins := _origins(valid, name))}
    bounds = (f"`{name}` {ends[0] if len(ends) == 1 else 'see its column'}" for name, ends in origins_by_term.items())
    return f"Each term is bounded by these passes, probes and bytes: {'; '.join(bounds)}." if valid else ""


def remedies(table: Sequence[GroupRow]) -> list[str]:
    """Returns a sentence for each budget: the largest term beyond the floor with its remedy, or why no term is named,
    and how a step that is one kernel spends the time of `kernels`."""
    valid = budgets(table)
    names = titles(valid, NAMED_FIELDS, DISTINGUISHING_FIELDS)
    return [f"{name}: {row.sentence}{_by_phase(row)}." for name, row in zip(names, valid, strict=True)]


def _by_phase(row: BudgetRow) -> str:
    """Returns how the time of `kernels` is divided among the phases of a step that is one kernel; else nothing."""
    if not row.phases or _clocks.KERNELS not in {term.name for term in row.terms}:
        return ""
    parts = (f"{term.name} {term.ms:z.2f}" for term in row.phases)
    return f"; `{_clocks.KERNELS}` by phase, beyond reading its bytes: {', '.join(parts)} ms"


def _lines(table: Sequence[GroupRow]) -> list[str]:
    invalid = [row for row in table if not row.valid]
    fields = (*CELL_FIELDS, *distinguishing(invalid, CELL_FIELDS, DISTINGUISHING_FIELDS))
    return [*(f"- {sentence}" for sentence in remedies(table)), *sentences_of_invalid(invalid, fields)]


def _parts(table: Sequence[GroupRow]) -> Iterator[Part]:
    valid = budgets(table)
    yield Part(
        "budget",
        "Terms of each step in ms",
        valid,
        columns(valid),
        first=FIRST,
        named=("quant",),
        expendable=EXPENDABLE,
    )


def _draw(table: Sequence[GroupRow], _reading: Reading) -> Drawn | None:
    from analysis.figures import budget as figure

    return figure.draw(table)


TABLE = Table(
    name="budget",
    order=40,
    title="Gap budget of a step",
    help="Gap budget: terms that add up to each step, and a remedy for the largest.",
    heading="Gap budget",
    intro="The terms of a row add up to its step. All columns include the small terms, and `passes apart`, the "
    "uncertainty of all terms.",
    metrics=METRICS,
    columns=(*CELL.values(), *COUNTS, *TERM_COLUMNS.values(), *LAUNCHING),
    rows=lambda reading: rows(reading.frame, reading.every_code),
    parts=_parts,
    note=passes,
    sentences=remedies,
    summary="Largest terms and their remedies",
    lines=_lines,
    figures=(Figure("budget", _draw),),
)
