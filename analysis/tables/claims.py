"""The claims of the paper's abstract: whether they hold in the records, by the rules of `_claimtests`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis import ab, paper
from analysis.ab import Measured
from analysis.cellcolumns import CELL, FLAGS, ORIGIN
from analysis.form import Column
from analysis.sources.frame import Frame
from analysis.table import Part, Table
from analysis.tables import _claimtests, _trace, graphs, papercheck
from analysis.tables._claimrow import FEWEST, MISSING, EvidenceRow, VerdictRow, verdict_row
from runner.counts import counted

METRICS = ("step_wall_ms", "step_busy_ms", "floor_ms", "floor_achievable_ms", "bytes_streamed")
EVIDENCE = "evidence"
AnyRow = VerdictRow | EvidenceRow


def rows(frame: Frame, compared: Sequence[Measured]) -> list[AnyRow]:
    """Returns one row per claim, then the rows of all tests."""
    found = _claimtests.material(frame, graphs.rows(compared), METRICS, _trace.traces(frame, compared))
    verdicts: list[VerdictRow] = []
    evidence: list[EvidenceRow] = []
    for claim in paper.claims():
        rule, words = _claimtests.RULES[claim.name]
        tests = list(rule(claim.name, found))
        verdicts.append(verdict_row(claim, words, tests))
        evidence += tests
    return [*verdicts, *evidence]


VERDICT_COLUMNS = (
    Column("the paper", "text", help="a claim of the paper's abstract, in our words"),
    Column("verdict", "verdict", help="what the records say about the figure or the claim"),
    Column("yes", "passed", "d", help="number of the claim's tests that are passed"),
    Column("no", "failed", "d", help="number of tests that are failed"),
    Column("undecided", "undecided", "d", help="number of tests that their sessions do not decide"),
    Column("not measured", "unmeasured", "d", help="number of tests without the sessions that they need"),
    Column("test", "rule", help="what the tests of the claim ask; `test` of a single one is the tested quantity"),
)
EVIDENCE_COLUMNS = (
    Column("claim", "claim", help="name of the claim"),
    Column("tested", "test", help="the tested quantity"),
    *(CELL[name] for name in ("gpu", "model", "ctx")),
    Column("setting", "setting", help="the tested sessions: runtime and cache, or format and kernel, or an A/B"),
    Column("the paper's", "paper", help="the paper's value, or its r_floor_paper; on the card that is named with it"),
    Column("asked", "condition", help="the condition that the whole interval must meet"),
    Column("value", "ours", ".3f", help="our value: median over sessions"),
    Column("from", "ours_low", ".3f", help="lower end of the interval of our value over sessions"),
    Column("to", "ours_high", ".3f", help="upper end of the same interval"),
    Column("ends", "interval", help="`ci95`, or `range` below five sessions"),
    Column("n", "sessions", "d", help="number of sessions"),
    Column("hosts", "hosts", "d", help="number of hosts"),
    Column("passed", "outcome", help="outcome of the test: yes, no, or undecided"),
    Column("void because", "void", help="why the value decides nothing, whatever it is"),
    FLAGS,
    ORIGIN,
)


def verdicts(table: Sequence[AnyRow]) -> list[VerdictRow]:
    """Returns the rows of the claims."""
    return [row for row in table if isinstance(row, VerdictRow)]


def measured(table: Sequence[AnyRow]) -> list[EvidenceRow]:
    """Returns the rows of the tests that were measured."""
    return [row for row in table if isinstance(row, EvidenceRow) and row.outcome != MISSING]


def _parts(table: Sequence[AnyRow]) -> Iterator[Part]:
    yield Part(
        "claims",
        "Claims of the paper's abstract, and whether they hold in the records",
        verdicts(table),
        VERDICT_COLUMNS,
        count="verdict",
        first=("text", "verdict", "passed", "failed", "undecided", "unmeasured"),
        linked=("verdict",),
    )
    yield Part(
        EVIDENCE,
        "Tests of the claims that were measured",
        measured(table),
        EVIDENCE_COLUMNS,
        count="paper",
        first=("claim", "test", "gpu", "model", "ctx", "setting", "condition", "ours", "outcome"),
        expendable=("claim", "condition"),
        linked=("ours",),
    )


def sentences(table: Sequence[AnyRow]) -> list[str]:
    """Returns the missing sessions of each claim, and the paper's accounting of bytes in its headline cells."""
    missing = [
        f"{row.claim}: {counted(row.unmeasured, 'test')} not measured; missing are {row.sentence}"
        for row in verdicts(table)
        if row.sentence
    ]
    figures = [figure for figure in paper.floor_rows() if figure.spot in papercheck.HEADLINE]
    return [*missing, *map(paper.byte_accounting, figures)]


def _intro(_table: Sequence[AnyRow]) -> str:
    return (
        "A claim holds if all its tests were measured and passed, and in part if some were. A test is passed if its "
        f"whole interval (below five sessions: the range) meets the condition; fewer than {FEWEST} sessions decide "
        "nothing. Only the H100 and the H200 are tested, since the records come from them."
    )


TABLE = Table(
    name="claims",
    order=55,
    title="Claims of arXiv 2605.30571 in the records",
    help="Each claim of the paper's abstract: holds, holds in part, does not hold, or not measured here.",
    heading="What the paper says and what we see",
    intro=_intro,
    metrics=tuple(dict.fromkeys((*METRICS, *ab.NEEDED))),
    columns=(*VERDICT_COLUMNS, *EVIDENCE_COLUMNS),
    tells_missing=True,
    rows=lambda reading: rows(reading.frame, reading.compared),
    parts=_parts,
    excerpts={EVIDENCE: "only the tests that were measured"},
    sentences=sentences,
    traces=lambda table: _trace.session_lines(measured(table)),
    summary="Missing sessions, and the accounting of bytes",
    has_codes=False,
)
