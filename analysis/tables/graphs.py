"""The CUDA Graphs table: the ratio of an uncaptured to a captured step, per GPU, model and ctx."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from analysis import ab, abrows, paper
from analysis.ab import Measured
from analysis.abrow import ABRow, figure_words
from analysis.cellcolumns import CELL, FLAGS, cell_columns
from analysis.form import Column, distinguishing, markdown_table, name
from analysis.reading import Reading
from analysis.table import FILTERS, Figure, Part, Table
from analysis.tables import _graphsgain
from runner.counts import counted

if TYPE_CHECKING:
    from analysis.figures.style import Drawn

FIELD = "runtime"
PLACE = ("gpu", "model", "ctx")
NAMED = (*PLACE, "arm_a", "arm_b")
ORDER = (*NAMED, "last_start_ms", "ab")
CODES = ("code_key_a", "code_key_b")
SAME_BUT_CODE = ("cell_key_a", "cell_key_b", "env_key_a", "env_key_b", "protocol")
NO_AB = "no A/B between runtimes was measured: run `python -m runner ab --field runtime`"
INTERVALS = ("span", "bootstrap_span")


@dataclass(frozen=True)
class GraphsRow(ABRow):
    """An A/B between runtimes. `superseded` counts the A/Bs of older code that it replaces."""

    superseded: int


def rows(compared: Iterable[Measured], every_code: bool = False) -> list[GraphsRow]:
    """Returns one row for each A/B between runtimes, in the order of gpu, model, ctx and arms.

    A/Bs that differ only in code have rows for the newest code, whose last session began last; `superseded` counts the
    others. With `every_code` each A/B has a row.
    """
    ab_rows = [abrows.row(measured) for measured in compared if measured.manifest.field == FIELD]
    table = [GraphsRow(**vars(row), superseded=0) for row in ab_rows]
    return sorted(table if every_code else _newest(table), key=lambda row: _values(row, ORDER))


def _values(row: ABRow, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row.value(name) for name in names)


def _newest(table: Sequence[GraphsRow]) -> list[GraphsRow]:
    alike: dict[tuple[object, ...], list[GraphsRow]] = defaultdict(list)
    for row in table:
        alike[_values(row, SAME_BUT_CODE)].append(row)
    newest_rows: list[GraphsRow] = []
    for group in alike.values():
        newest = max(group, key=lambda row: row.last_start_ms)
        rows = [row for row in group if _values(row, CODES) == _values(newest, CODES)]
        newest_rows += [replace(row, superseded=len(group) - len(rows)) for row in rows]
    return newest_rows


NAMING = (
    *cell_columns(PLACE),
    Column("a", "arm_a", help="first arm of the A/B"),
    Column("b", "arm_b", help="second arm"),
)
SUPERSEDED = Column(
    "superseded", "superseded", "d", optional=True, hides_zero=True, help="A/Bs of older code that the row leaves out"
)
VALUES = (
    Column("n", "sessions", "d", help="number of sessions of each arm; links to their origin"),
    Column(
        "missing",
        "missing",
        "d",
        optional=True,
        hides_zero=True,
        help="planned sessions of each arm that were not measured",
    ),
    Column("hosts", "hosts", "d", help="number of hosts (machine and card) that the sessions ran on"),
    SUPERSEDED,
    Column("a ms", "a_ms", ".3f", unit="ms", help="step of the first arm: median over its sessions"),
    Column("b ms", "b_ms", ".3f", unit="ms", help="step of the second arm"),
    Column("a / b", "ratio", ".3f", unit="1", help="ratio of the arms' steps: above 1, b is faster"),
    Column(
        "95 %", "span", unit="1", help="confidence interval of the ratio over sessions; their range below 5 sessions"
    ),
    Column("BCa", "bootstrap_span", unit="1", help="bootstrap interval as the paper computes it"),
    Column("CV a", "cv_a", ".1%", unit="1", help="coefficient of variation over the sessions of the first arm"),
    Column("CV b", "cv_b", ".2%", unit="1", help="coefficient of variation over the sessions of the second arm"),
    Column("kernels a", "kernels_a", ".0f", help="kernels per step of the first arm"),
    Column("kernels b", "kernels_b", ".0f", help="kernels per step of the second arm"),
    Column("launch µs", "launch_us", ".2f", unit="µs", help="launch overhead of an empty kernel"),
    Column(
        "n for ±0.5 %",
        "sessions_needed",
        "d",
        help="sessions of each arm needed for an interval of that width at this scatter",
    ),
    Column(
        "verdict", "verdict", help="verdict on b: FASTER, SLOWER or SAME if the whole interval agrees, else AMBIGUOUS"
    ),
    Column("paper", "paper_words", help="the paper's A/B of the same cell and runtimes"),
    FLAGS,
)
ALSO_DIFFERENT = Column(
    "also different", "implied_words", help="further fields in which the arms differ, with their values in a and in b"
)
DISTINGUISHING_FIELDS = (
    *("quant", "kernel", "cache", "dtype", "attention", "options", "implied_words", "weights_id", "protocol"),
    *("env_key_a", "env_key_b", "code_key_a", "code_key_b", "study", "ab"),
)


def columns(table: Sequence[ABRow]) -> list[Column]:
    """Returns the columns for these rows."""
    more = distinguishing(table, [column.key for column in NAMING], DISTINGUISHING_FIELDS)
    known = {**CELL, ALSO_DIFFERENT.key: ALSO_DIFFERENT}
    return [*NAMING, *(known.get(field, Column(field, field)) for field in more), *VALUES]


def names(table: Sequence[ABRow]) -> list[str]:
    """Returns a name for the cell of each A/B, with the fields that tell it from A/Bs of the same place and arms."""
    alike: dict[tuple[object, ...], list[ABRow]] = defaultdict(list)
    for row in table:
        alike[_values(row, NAMED)].append(row)
    fields = {key: distinguishing(rows, NAMED, DISTINGUISHING_FIELDS) for key, rows in alike.items()}
    return [name(row, (*PLACE, *fields[_values(row, NAMED)])) for row in table]


def markdown(table: Sequence[ABRow]) -> str:
    """Returns A/Bs of any field as a Markdown table, followed by the reason for each verdict."""
    visible = [column for column in columns(table) if column != SUPERSEDED]
    lines = [*markdown_table(table, visible), ""]
    lines += [f"- {verdict}" for verdict in verdicts(table)]
    return "\n".join(lines) + "\n"


def sentences(table: Sequence[ABRow]) -> list[str]:
    """Returns the verdicts, and the paper's figures for cells without an A/B."""
    return [*verdicts(table), *paper_sentences(table)]


def paper_sentences(table: Sequence[ABRow]) -> list[str]:
    """Returns the paper's figures for cells without an A/B, and other eager steps that the paper states for its A/B
    cells."""
    ours = [row.paper for row in table]
    unmeasured = [figure for figure in paper.graphs_rows() if figure not in ours]
    figures = [f"The paper, {figure.gpu} {figure.model} {figure.ctx}: {figure_words(figure)}" for figure in unmeasured]
    return figures + paper.two_steps_of({figure.spot for figure in paper.graphs_rows() if figure.a_ms})


def verdicts(table: Sequence[ABRow]) -> list[str]:
    """Returns the verdict of each A/B with its reason and remarks."""
    return [
        f"{title}, {row.arm_a} against {row.arm_b}: {row.verdict or 'no verdict'}: {reason(row)}"
        for title, row in zip(names(table), table, strict=True)
    ]


def reason(row: ABRow) -> str:
    """Returns the reason for the verdict of an A/B, with remarks."""
    unused = f"; {row.unused} more of each arm are not used" if row.unused else ""
    declared = "" if row.as_declared else "; more sessions were requested than declared"
    more = counted(row.extension_due, "more session is", "more sessions are")
    due = f"; the interval is wider than ±0.5 %, so the declared {more} due" if row.extension_due else ""
    implied = "".join(f"; {row.field} implies {values}" for values in row.implied_values)
    absent = "".join(f"; {remark}" for remark in _absent_sessions(row))
    return f"{row.reason}{unused}{absent}{due}{declared}{implied}"


def _absent_sessions(row: ABRow) -> Iterator[str]:
    """Yields why blocks are not used, and which planned or measured sessions the ratio excludes."""
    yield from row.unused_reasons
    if row.missing:
        yield f"{row.missing} of the {counted(row.planned, 'planned session')} of each arm are missing"
    if row.unnamed:
        one, several = "measured session in its folder belongs", "measured sessions in its folder belong"
        unnamed = counted(len(row.unnamed), one, several)
        yield f"{unnamed} to no block: {', '.join(row.unnamed)}"
    if row.unmeasured:
        ended = ", ".join(f"{count} {status}" for status, count in row.unmeasured.items())
        yield f"ended without a measurement: {ended}"


def _parts(table: Sequence[GraphsRow]) -> Iterator[Part]:
    yield Part(
        "graphs",
        "A/Bs between runtimes: step of a over step of b",
        table,
        columns(table),
        first=("gpu", "model", "ctx", "a_ms", "b_ms", "ratio", "span", "verdict", "sessions", "flags"),
        named=("arm_a", "arm_b"),
        expendable=("sessions", "span"),
        linked=("sessions", "ratio"),
        by_number=INTERVALS,
        filters={**FILTERS, FIELD: ("arm_a", "arm_b")},
        nothing=f"So far {NO_AB}.",
    )


def _draw(table: Sequence[GraphsRow], reading: Reading) -> Drawn | None:
    from analysis.figures import graphs as figure

    return figure.draw(reading.compared, table, paper.graphs_rows())


TABLE = Table(
    name="graphs",
    order=20,
    title="Gain of CUDA Graphs and of the fused kernel",
    help="Gain of a CUDA graph and of the fused kernel: every A/B between runtimes, with interval and verdict.",
    intro="A/Bs of two runtimes: sessions of both arms alternate, each in a fresh process.",
    metrics=ab.NEEDED,
    columns=(*NAMING, *VALUES),
    rows=lambda reading: rows(reading.compared, reading.every_code),
    parts=_parts,
    sentences=sentences,
    summary="Verdicts, their reasons, and the paper's A/Bs",
    questions=_graphsgain.QUESTIONS,
    figures=(Figure("graphs", _draw),),
    only_compared=True,
    missing=NO_AB,
)
