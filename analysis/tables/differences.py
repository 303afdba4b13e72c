"""Why our unquantised steps differ from the paper's: card, host and software, as far as the records separate them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from analysis import ab, paper
from analysis.ab import Measured
from analysis.group import Group
from analysis.sources.frame import Frame
from analysis.table import Part, Table
from analysis.tables import (
    _baselines,
    _causes,
    _conditions,
    _contrasts,
    _derivedratio,
    _launchfit,
    _ours,
    _trace,
    budget,
    graphs,
)
from analysis.tables._claimrow import FEWEST
from analysis.tables._claimtests import CARDS, graph_gains
from analysis.tables._conditions import AS_IT_IS
from analysis.tables._contrasts import Step
from analysis.tables._derivedratio import STATIC
from analysis.tables._differencecolumns import (
    CONDITION_COLUMNS,
    CONTRAST_COLUMNS,
    DERIVED_COLUMNS,
    LAUNCH_COLUMNS,
    SPLIT_COLUMNS,
)
from analysis.tables._differencerow import ConditionRow, ContrastRow, DerivedRow, LaunchRow, SplitRow
from analysis.tables._graphsgain import EAGER, GRAPH

CONTRASTS, DERIVED, CONDITIONS, LAUNCHES = "contrasts", "derived", "conditions", "launches"
AnyRow = SplitRow | ContrastRow | DerivedRow | ConditionRow | LaunchRow


def rows(frame: Frame, compared: Sequence[Measured]) -> list[AnyRow]:
    """Returns the splits of the steps, contrasts of two of them, derived ratios, steps under conditions of the host,
    and the line of launches."""
    every, traces = budget.groups_of(frame), _trace.traces(frame, compared)
    plain = [group for group in every if _is_like_the_papers(group)]
    usual = [group for group in plain if _ours.is_usual(group)]
    steps = [Step(group, _causes.split(group, traces)) for group in plain]
    headline = next(figure.spot for figure in paper.graphs_rows() if figure.a_ms is not None)
    asked = [(gpu, *headline[1:]) for gpu in CARDS]
    cache, graph = _derivedratio.cache_gains(compared), graph_gains(graphs.rows(compared))
    eager = [group for group in usual if group.runtime == EAGER]
    as_in_an_ab = [group for group in eager if group.cache == STATIC] or eager  # a graph has a static cache
    return [
        *(step.row for step in steps),
        *_contrasts.contrasts(steps),
        *_derivedratio.derived_rows(asked, usual, cache, graph, traces),
        *_conditions.condition_rows(frame, [group for group in every if group.valid], traces),
        *_launchfit.launch_rows(_launchfit.points(frame), _ours.plain_cell(as_in_an_ab, headline)),
    ]


def _is_like_the_papers(group: Group) -> bool:
    """Returns whether the sessions have the paper's protocol, dtype and kind of attention; options are free."""
    return (
        group.valid
        and group.gpu in CARDS
        and group.runtime in (EAGER, GRAPH)
        and _baselines.is_plain(group)
        and (group.protocol, group.dtype, group.attention) == (paper.PROTOCOL, "bf16", "sdpa")
    )


Kind = TypeVar("Kind", SplitRow, ContrastRow, DerivedRow, ConditionRow, LaunchRow)


def of_kind(kind: type[Kind], table: Iterable[AnyRow]) -> list[Kind]:
    """Returns the rows of one kind."""
    return [row for row in table if isinstance(row, kind)]


def _parts(table: Sequence[AnyRow]) -> Iterator[Part]:
    yield Part(
        "differences",
        "Unquantised steps, split into card, host and software",
        of_kind(SplitRow, table),
        SPLIT_COLUMNS,
        first=("gpu", "model", "ctx", "runtime", "step_wall_ms", "paper_ms", "kernels_ms", "outside_ms", "cause"),
    )
    yield Part(
        CONTRASTS,
        "Pairs of steps that differ in one field: second minus first",
        of_kind(ContrastRow, table),
        CONTRAST_COLUMNS,
        count="part",
        first=("gpu", "model", "ctx", "field", "first", "second", "part", "step_ms", "kernels_ms", "outside_ms"),
        expendable=("part", "outside_ms", "kernels_ms"),
        linked=("step_ms",),
    )
    yield Part(
        DERIVED,
        "Eager with a growing cache over graph, derived from two ratios",
        of_kind(DerivedRow, table),
        DERIVED_COLUMNS,
        count="source",
        linked=("product",),
    )
    yield Part(
        CONDITIONS,
        "Steps under a declared condition of the host, beside those on the same host as it is",
        of_kind(ConditionRow, table),
        CONDITION_COLUMNS,
        count="sessions",
        first=(
            "gpu",
            "model",
            "ctx",
            "condition",
            "sessions",
            "step_wall_ms",
            "ratio",
            "ratio_low",
            "ratio_high",
            "launch_us",
        ),
        linked=("step_wall_ms",),
    )
    yield Part(
        LAUNCHES,
        "Lines through hosts: eager step against launches",
        of_kind(LaunchRow, table),
        LAUNCH_COLUMNS,
        count="sessions",
        first=("scope", "slope", "slope_low", "slope_high", "residual_ms", "r2", "launch_us", "told"),
        linked=("scope",),
    )


def sentences(table: Sequence[AnyRow]) -> list[str]:
    """Returns the reason for each cause, what each condition of the host does, and what the line says about the paper's
    eager step."""
    causes = [_cause_sentence(row) for row in of_kind(SplitRow, table) if row.cause]
    conditions = [_condition_sentence(row) for row in of_kind(ConditionRow, table) if row.condition != AS_IT_IS]
    return [*causes, *conditions, *map(_launch_sentence, of_kind(LaunchRow, table))]


def _cause_sentence(row: SplitRow) -> str:
    place = f"{row.gpu} {row.model} {row.ctx} {row.runtime}, {row.cache} cache"
    return f"{place}, against the paper's {row.paper_source}: {row.cause}: {row.reason}"


def _condition_sentence(row: ConditionRow) -> str:
    place = f"{row.place} {row.runtime}, {row.cache} cache, under {row.condition}"
    if row.ratio is None or row.ratio_low is None or row.ratio_high is None:
        return f"{place}: no session of the cell ran on the same host as it is, so nothing is compared"
    alike = "; the sessions do not tell both apart" if row.ratio_low <= 1 <= row.ratio_high else ""
    few = "" if row.sessions >= FEWEST else f"; {row.sessions} of at least {FEWEST} sessions"
    ends = f"[{row.ratio_low:.2f}–{row.ratio_high:.2f}]"
    return f"{place}: {row.ratio:.2f}× {ends} the step on the host as it is{alike}{few}"


def _launch_sentence(row: LaunchRow) -> str:
    asked = f"Launch overhead that makes the paper's {row.paper_ms:g} ms, by the line of {row.scope}"
    if row.launch_us is None:
        return f"{asked}: {row.told}"
    return (
        f"{asked}: {row.launch_us:.2f} µs [{row.launch_us_low:.2f}–{row.launch_us_high:.2f}]; its "
        f"{row.hosts} hosts scatter about it by {row.residual_ms:.2f} ms"
    )


INTRO = (
    "A cause is named only if at least half of the difference must be its own, whatever the paper's step consists of. "
    "Passes that disagree do not separate host from software. Contrasts compare two rows that differ in one field, and "
    "name what else differs."
)
TABLE = Table(
    name="differences",
    order=56,
    title="Why our steps differ from those of arXiv 2605.30571",
    help="Why our unquantised steps differ from the paper's: card, host or software, as the records show it.",
    heading="Why our steps differ from the paper's",
    intro=INTRO,
    metrics=tuple(dict.fromkeys((*budget.METRICS, *ab.NEEDED))),
    columns=(*SPLIT_COLUMNS, *CONTRAST_COLUMNS, *DERIVED_COLUMNS, *CONDITION_COLUMNS, *LAUNCH_COLUMNS),
    tells_missing=True,
    rows=lambda reading: rows(reading.frame, reading.compared),
    parts=_parts,
    excerpts={
        CONTRASTS: "only pairs of steps that differ in one field",
        DERIVED: "only the ratios of a growing cache and of a graph, and their product",
        CONDITIONS: "only the steps under a declared condition of the host",
        LAUNCHES: "only the lines of steps against launches",
    },
    sentences=sentences,
    traces=_trace.session_lines,
    summary="What the records show about each difference",
    has_codes=False,
)
