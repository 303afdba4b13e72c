"""The CUDA Graphs table: what replaying a captured step is worth, per GPU, model and ctx."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from analysis import ab, abrow, paper
from analysis.ab import Measured
from analysis.abrow import ABRow, figure_words
from analysis.cellcolumns import CELL, FLAGS, cell_columns
from analysis.form import Column, distinguishing, markdown_table, titles
from analysis.reading import Reading
from analysis.table import Figure, Part, Table

if TYPE_CHECKING:
    from analysis.figures.style import Drawn

FIELD = "runtime"
ORDER = ("gpu", "model", "ctx", "arm_a", "arm_b", "last_start_ms", "ab")
CODES = ("code_key_a", "code_key_b")
SAME_BUT_CODE = ("cell_key_a", "cell_key_b", "env_key_a", "env_key_b", "protocol")
NO_AB = "no A/B between runtimes was measured: `python -m runner ab --field runtime` does it"
INTERVALS = ("span", "bootstrap_span")


@dataclass(frozen=True)
class GraphsRow(ABRow):
    """An A/B between runtimes, and how many others of older code it stands for."""

    superseded: int


def rows(found: Iterable[Measured], every_code: bool = False) -> list[GraphsRow]:
    """Returns one row for each A/B between runtimes, in the order of gpu, model, ctx and arms.

    Of A/Bs that differ in nothing but the code of their sessions only those of the newest have a row, the code whose
    last session began last; `superseded` counts the others. With `every_code` each has its own.
    """
    made = [abrow.row(each) for each in found if each.manifest.field == FIELD]
    table = [GraphsRow(**vars(each), superseded=0) for each in made]
    return sorted(table if every_code else _newest(table), key=lambda row: _values(row, ORDER))


def _values(row: GraphsRow, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row.value(name) for name in names)


def _newest(table: Sequence[GraphsRow]) -> list[GraphsRow]:
    alike: dict[tuple[object, ...], list[GraphsRow]] = defaultdict(list)
    for row in table:
        alike[_values(row, SAME_BUT_CODE)].append(row)
    shown: list[GraphsRow] = []
    for same in alike.values():
        newest = max(same, key=lambda row: row.last_start_ms)
        own = [row for row in same if _values(row, CODES) == _values(newest, CODES)]
        shown += [replace(row, superseded=len(same) - len(own)) for row in own]
    return shown


NAMING = (
    *cell_columns(("gpu", "model", "ctx")),
    Column("a", "arm_a", help="the first arm of the A/B"),
    Column("b", "arm_b", help="the second arm"),
)
SUPERSEDED = Column(
    "superseded", "superseded", "d", optional=True, hides_zero=True, help="A/Bs of older code, which the row leaves out"
)
VALUES = (
    Column("n", "sessions", "d", help="sessions of each arm; leads to where they come from"),
    Column(
        "missing", "missing", "d", optional=True, hides_zero=True, help="planned sessions of each arm that are missing"
    ),
    Column("hosts", "hosts", "d", help="hosts (machine and card) that the sessions ran on"),
    SUPERSEDED,
    Column("a ms", "a_ms", ".3f", unit="ms", help="the step of the first arm, of its median session"),
    Column("b ms", "b_ms", ".3f", unit="ms", help="the step of the second arm"),
    Column("a / b", "ratio", ".3f", unit="1", help="the ratio of both arms' steps: above 1, b is faster"),
    Column("95 %", "span", unit="1", help="the interval of the ratio over sessions, below 5 sessions their range"),
    Column("BCa", "bootstrap_span", unit="1", help="the paper's bootstrap interval beside it"),
    Column("CV a", "cv_a", ".1%", unit="1", help="scatter of the sessions of the first arm"),
    Column("CV b", "cv_b", ".2%", unit="1", help="scatter of the sessions of the second arm"),
    Column("kernels a", "kernels_a", ".0f", help="kernels of a step of the first arm"),
    Column("kernels b", "kernels_b", ".0f", help="kernels of a step of the second arm"),
    Column("launch µs", "launch_us", ".2f", unit="µs", help="the launch of an empty kernel"),
    Column(
        "n for ±0.5 %",
        "sessions_needed",
        "d",
        help="sessions of each arm that such an interval would take at this scatter",
    ),
    Column("verdict", "verdict", help="b is FASTER, SLOWER or the SAME by the whole interval, or AMBIGUOUS"),
    Column("paper", "paper_words", help="the paper's A/B of the same cell"),
    FLAGS,
)
DISTINGUISHING_FIELDS = (
    *("quant", "kernel", "cache", "dtype", "attention", "weights_id", "protocol"),
    *("env_key_a", "env_key_b", "code_key_a", "code_key_b", "study", "ab"),
)


def columns(table: Sequence[ABRow]) -> list[Column]:
    """Returns the columns for these rows."""
    more = distinguishing(table, [column.key for column in NAMING], DISTINGUISHING_FIELDS)
    return [*NAMING, *(CELL.get(field, Column(field, field)) for field in more), *VALUES]


def names(table: Sequence[ABRow]) -> list[str]:
    """Returns a name for the cell of each A/B."""
    return titles(table, ("gpu", "model", "ctx"), DISTINGUISHING_FIELDS)


def markdown(table: Sequence[ABRow]) -> str:
    """Returns A/Bs of any field as a Markdown table, and the reason of each verdict below it."""
    shown = [column for column in columns(table) if column != SUPERSEDED]
    lines = [*markdown_table(table, shown), ""]
    lines += [f"- {sentence(each)}" for each in table]
    return "\n".join(lines) + "\n"


def sentences(table: Sequence[ABRow]) -> list[str]:
    """Returns the verdicts, and the paper's figures that have none here."""
    return [*map(sentence, table), *paper_sentences(table)]


def paper_sentences(table: Sequence[ABRow]) -> list[str]:
    """Returns the paper's figures that have none here, and what else the paper says of the eager step of one."""
    ours = {(row.gpu, row.model, row.ctx) for row in table}
    unmet = [figure for figure in paper.graphs_rows() if figure.spot not in ours]
    told = [f"The paper, {figure.gpu} {figure.model} {figure.ctx}: {figure_words(figure)}" for figure in unmet]
    return told + paper.two_steps_of({figure.spot for figure in paper.graphs_rows() if figure.a_ms})


def sentence(row: ABRow) -> str:
    """Returns the verdict of an A/B with its reason, and what else is to be known of it."""
    unused = f"; {row.unused} more of each arm are not used" if row.unused else ""
    declared = "" if row.as_declared else "; more sessions were asked for than had been declared"
    due = f"; wider than ±0.5 %, so the declared {row.extension_due} more are due" if row.extension_due else ""
    implied = "".join(f"; {row.field} implies {name}: {a} and {b}" for name, (a, b) in row.implied.items())
    gone = "".join(f"; {text}" for text in _not_there(row))
    verdict = row.verdict or "no verdict"
    name = f"{row.gpu} {row.model} {row.ctx}, {row.arm_a} against {row.arm_b}"
    return f"{name}: {verdict}: {row.reason}{unused}{gone}{due}{declared}{implied}"


def _not_there(row: ABRow) -> Iterator[str]:
    """Yields why blocks are not used, and which planned or measured sessions the ratio does not rest on."""
    yield from row.unused_reasons
    if row.missing:
        yield f"{row.missing} of the {row.planned} planned sessions of each arm are missing"
    if row.unnamed:
        yield f"{len(row.unnamed)} measured sessions lie beside it and are in no block: {', '.join(row.unnamed)}"
    if row.unmeasured:
        ended = ", ".join(f"{count} {status}" for status, count in row.unmeasured.items())
        yield f"ended without a measurement: {ended}"


def _parts(table: Sequence[GraphsRow]) -> Iterator[Part]:
    yield Part(
        "graphs",
        "A/Bs between runtimes: step of a over step of b",
        table,
        columns(table),
        first=("a_ms", "b_ms", "ratio", *INTERVALS, "verdict"),
        by_number=INTERVALS,
        nothing=f"So far {NO_AB}.",
    )


def _draw(table: Sequence[GraphsRow], reading: Reading) -> Drawn | None:
    from analysis.figures import graphs as figure

    return figure.draw(reading.compared, table, paper.graphs_rows())


TABLE = Table(
    name="graphs",
    order=20,
    title="What a CUDA graph is worth",
    help="What a CUDA graph is worth: every A/B between runtimes, with interval and verdict.",
    heading="What CUDA Graphs buy",
    intro="A/Bs of two runtimes: the sessions of both arms in turns, each in a process of its own.",
    metrics=ab.NEEDED,
    columns=(*NAMING, *VALUES),
    rows=lambda reading: rows(reading.compared, reading.every_code),
    parts=_parts,
    sentences=sentences,
    summary="Verdicts and their reasons",
    figures=(Figure("graphs", _draw),),
    only_compared=True,
    missing=NO_AB,
)
