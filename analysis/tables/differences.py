"""Why our unquantised steps differ from the paper's: card, host and software, as far as the records separate them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from analysis import ab, paper
from analysis.ab import Measured
from analysis.cellcolumns import CELL, FLAGS, WALL, WALL_ENDS
from analysis.form import Column
from analysis.group import Group
from analysis.sources.frame import Frame
from analysis.table import Part, Table
from analysis.tables import _baselines, _causes, _derivedratio, _launchfit, _ours, budget, graphs
from analysis.tables._claimtests import CARDS, graph_gains
from analysis.tables._differencerow import ContrastRow, DerivedRow, LaunchRow, SplitRow
from analysis.tables._graphsgain import EAGER, GRAPH

CONTRASTS, DERIVED, LAUNCHES = "contrasts", "derived", "launches"
AnyRow = SplitRow | ContrastRow | DerivedRow | LaunchRow


def rows(frame: Frame, compared: Sequence[Measured]) -> list[AnyRow]:
    """Returns the splits of the steps, contrasts of two of them, derived ratios, and the line of launches."""
    plain = [group for group in budget.groups_of(frame) if _is_like_the_papers(group)]
    usual = [group for group in plain if _ours.is_usual(group)]
    splits = [_causes.split(group) for group in plain]
    headline = next(figure.spot for figure in paper.graphs_rows() if figure.a_ms is not None)
    asked = [(gpu, *headline[1:]) for gpu in CARDS]
    cache, graph = _derivedratio.cache_gains(compared), graph_gains(graphs.rows(compared))
    eager = [group for group in usual if group.runtime == EAGER]
    return [
        *splits,
        *_causes.contrasts(splits),
        *_derivedratio.derived_rows(asked, usual, cache, graph),
        _launchfit.launch_row(_launchfit.points(frame), _ours.plain_cell(eager, headline)),
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


PLACE = tuple(CELL[name] for name in ("gpu", "model", "ctx"))
SPLIT_COLUMNS = (
    *PLACE,
    *(CELL[name] for name in ("runtime", "cache", "options")),
    Column("n", "sessions", "d", help="number of sessions"),
    Column("hosts", "hosts", "d", help="number of hosts (machine and card) that the sessions ran on"),
    WALL,
    *WALL_ENDS[:2],
    Column("paper ms", "paper_ms", ".2f", unit="ms", help="the paper's step of the same runtime on this card"),
    Column("paper's source", "paper_source", help="`A/B`, or `R_floor` for a step that follows from an R_floor"),
    Column("reading", "reading_ms", ".2f", unit="ms", help="card: time to read the bytes at its measured bandwidth"),
    Column("kernels", "kernels_ms", ".2f", unit="ms", help="card: time in which kernels run, reading included"),
    Column("outside", "outside_ms", ".2f", unit="ms", help="time of the step in which no kernel runs"),
    Column("by host", "host_ms", ".2f", unit="ms", help="host: part of it for launches (eager) and the read-back"),
    Column("by length", "new_length_ms", ".2f", unit="ms", help="software: part of it for a new context length"),
    Column("open", "open_ms", ".2f", unit="ms", help="part of it that passes which disagree do not attribute"),
    Column("kernels a step", "kernels_per_step", ".0f", help="software: number of kernels that a step launches"),
    Column("launch µs", "launch_us", ".2f", unit="µs", help="host: launch overhead of an empty kernel"),
    Column("read share", "read_share", ".2f", unit="1", help="card: measured read bandwidth over the datasheet's"),
    FLAGS,
    Column("cause", "cause", optional=True, help="what the records show about the difference from the paper's step"),
)
CONTRAST_COLUMNS = (
    *PLACE,
    *(CELL[name] for name in ("runtime", "cache")),
    Column("field", "field", help="the field in which two rows differ; the other fields are those of the first row"),
    Column("first", "first", help="value of that field in the first row"),
    Column("second", "second", help="value of that field in the second row"),
    Column("part", "part", help="what the field changes: the card (and its host), software, or launches"),
    Column("n", "sessions", "d", help="number of sessions of the row with fewer"),
    Column("first ms", "step_first_ms", ".2f", unit="ms", help="step of the first row"),
    Column("second ms", "step_second_ms", ".2f", unit="ms", help="step of the second row"),
    Column("Δ step", "step_ms", "+.2f", unit="ms", help="second step minus first"),
    Column("Δ kernels", "kernels_ms", "+.2f", unit="ms", help="change of the time in which kernels run"),
    Column("Δ reading", "reading_ms", "+.2f", unit="ms", help="change of the time to read the bytes"),
    Column("Δ outside", "outside_ms", "+.2f", unit="ms", help="change of the time in which no kernel runs"),
    Column("Δ kernels a step", "kernels_per_step", "+.0f", help="change of the number of kernels per step"),
    Column("steps apart", "decided", help="whether the intervals or ranges of both steps are disjoint"),
    FLAGS,
)
DERIVED_COLUMNS = (
    *PLACE,
    Column("from", "source", help="A/Bs, or rows that were not measured in alternation"),
    Column("dynamic / static", "cache_ratio", ".3f", unit="1", help="eager step with a growing cache over static"),
    Column("eager / graph", "graph_ratio", ".3f", unit="1", help="eager step over graph step, both static"),
    Column("product (derived)", "product", ".3f", unit="1", help="derived, not measured: product of both ratios"),
    Column("product low", "product_low", ".3f", unit="1", help="lower end of the product, from the ends of the ratios"),
    Column("product high", "product_high", ".3f", unit="1", help="upper end of the product"),
    Column("n", "sessions", "d", help="number of sessions of the arm or row with the fewest"),
    Column("missing", "missing", help="A/Bs (or rows) that are missing"),
    FLAGS,
)
LAUNCH_COLUMNS = (
    Column("sessions", "sessions", "d", help="number of eager sessions that the line is fitted to"),
    Column("hosts", "hosts", "d", help="number of hosts that they ran on"),
    Column("condition of the host", "conditions", help="number of sessions by declared condition of the host"),
    Column("launches from", "launches_low_ms", ".2f", unit="ms", help="least kernels per step times launch overhead"),
    Column("launches to", "launches_high_ms", ".2f", unit="ms", help="most kernels per step times launch overhead"),
    Column("slope", "slope", ".2f", unit="1", help="ms of a step per ms of launches"),
    Column("slope low", "slope_low", ".2f", unit="1", help="lower end of the slope's 95 % confidence interval"),
    Column("slope high", "slope_high", ".2f", unit="1", help="upper end of the slope's interval"),
    Column("intercept", "intercept_ms", ".2f", unit="ms", help="the line at launches of 0"),
    Column("residual", "residual_ms", ".2f", unit="ms", help="standard deviation of the sessions about the line"),
    Column("R²", "r2", ".3f", unit="1", help="share of the variance of the steps that the line explains"),
    Column("µs for the paper's step", "launch_us", ".2f", unit="µs", help="launch overhead at which it is reached"),
    Column("µs low", "launch_us_low", ".2f", unit="µs", help="lower end of its 95 % interval (Fieller)"),
    Column("µs high", "launch_us_high", ".2f", unit="µs", help="upper end of its interval"),
    Column("told", "told", help="whether the launch overhead of the paper's step can be told, or why not"),
)


Kind = TypeVar("Kind", SplitRow, ContrastRow, DerivedRow, LaunchRow)


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
        LAUNCHES,
        "A line through eager sessions: step against launches",
        of_kind(LaunchRow, table),
        LAUNCH_COLUMNS,
        count="hosts",
        first=("hosts", "slope", "slope_low", "slope_high", "residual_ms", "r2", "launch_us", "told"),
        linked=("launch_us",),
    )


def sentences(table: Sequence[AnyRow]) -> list[str]:
    """Returns the reason for each cause, and what the line says about the paper's eager step."""
    causes = [_cause_sentence(row) for row in of_kind(SplitRow, table) if row.cause]
    return [*causes, *map(_launch_sentence, of_kind(LaunchRow, table))]


def _cause_sentence(row: SplitRow) -> str:
    place = f"{row.gpu} {row.model} {row.ctx} {row.runtime}, {row.cache} cache"
    return f"{place}, against the paper's {row.paper_source}: {row.cause}: {row.reason}"


def _launch_sentence(row: LaunchRow) -> str:
    asked = f"Launch overhead that makes the paper's {row.paper_ms:g} ms"
    if row.launch_us is None:
        return f"{asked}: {row.told}"
    return (
        f"{asked}: {row.launch_us:.2f} µs [{row.launch_us_low:.2f}–{row.launch_us_high:.2f}] by the line through "
        f"{row.sessions} sessions, which scatter about it by {row.residual_ms:.2f} ms"
    )


INTRO = (
    "A cause is named only where a recorded value shows it: what no kernel runs in is not the card's, and passes that "
    "disagree do not separate host from software. Contrasts compare two rows that differ in one field."
)
TABLE = Table(
    name="differences",
    order=56,
    title="Why our steps differ from those of arXiv 2605.30571",
    help="Why our unquantised steps differ from the paper's: card, host or software, as the records show it.",
    heading="Why our steps differ from the paper's",
    intro=INTRO,
    metrics=tuple(dict.fromkeys((*budget.METRICS, *ab.NEEDED))),
    columns=(*SPLIT_COLUMNS, *CONTRAST_COLUMNS, *DERIVED_COLUMNS, *LAUNCH_COLUMNS),
    rows=lambda reading: rows(reading.frame, reading.compared),
    parts=_parts,
    excerpts={
        CONTRASTS: "only pairs of steps that differ in one field",
        DERIVED: "only the ratios of a growing cache and of a graph, and their product",
        LAUNCHES: "only the line of steps against launches",
    },
    sentences=sentences,
    summary="What the records show about each difference",
    has_codes=False,
)
