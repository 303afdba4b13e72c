"""The quantisation table: the saving that smaller weights allow by their bytes, and the saving that is measured.

Each row is compared with the fastest unquantised cell (`_baselines`; `against` names it) and with the fastest eager
one. `ideal` is the ratio of streamed bytes, baseline over row. `realised` and `over_eager` are ratios of steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from analysis import groups, paper, protocoltitles
from analysis.cellcolumns import (
    CELL,
    FLOOR_MS,
    JOULES,
    P99,
    PEAK,
    R_FLOOR,
    SESSIONS,
    SPARSE,
    USD_PER_MTOK,
    WALL,
    WALL_ENDS,
    cell_columns,
    tail,
)
from analysis.form import Column, distinguishing, sentences_of_invalid
from analysis.group import Group, shared
from analysis.prices import NONE, Prices, usd_per_mtok
from analysis.reading import Reading
from analysis.sources.frame import Frame
from analysis.statistics import intervals
from analysis.table import Figure, Part, Table
from analysis.tables import _baselines, _payoff
from analysis.tables._baselines import PLACE, UNQUANTISED, Baseline, Walls
from analysis.tables._quantpaper import paper_rows
from analysis.tables._quantrows import CELL_FIELDS, AnyRow, GroupRow, PaperRow, QuantRow, order
from runner.ab.manifest import FEWEST_FOR_AN_INTERVAL
from runner.counts import counted

if TYPE_CHECKING:
    from analysis.figures.style import Drawn

METRICS = (
    *(
        "step_wall_ms",
        "step_wall_p90_ms",
        "p99_ms",
        "bytes_streamed",
        "floor_ms",
        "r_floor",
        "peak_bytes",
        "logit_error",
    ),
    *("joules_per_token", "joules_per_token_above_idle"),
)
EAGER = "eager"
NAMED_FIELDS = (*PLACE, "quant", "kernel", "runtime", "dtype")
DISTINGUISHING_FIELDS = ("cache", "protocol", "attention", "env_key", "code_key")
MEASURED = "measured"
Savings = Sequence[QuantRow | PaperRow]


def rows(frame: Frame, every_code: bool = False, prices: Prices = NONE) -> list[AnyRow]:
    """Returns one row per group of valid sessions of quantised cells and their baselines, then invalid groups, then the
    paper's rows.

    `every_code` also shows groups of older code.
    """
    all_groups = groups.rows(frame, METRICS, every_code)
    walls = groups.walls_of_hosts(frame)
    valid = [group for group in all_groups if group.valid]
    plain = [group for group in valid if _baselines.is_plain(group)]
    packed = [group for group in valid if not _baselines.is_plain(group)]
    baselines = [candidate for candidate in plain if any(_baselines.fits(candidate, group) for group in packed)]
    table = [_row(frame, group, plain, walls, prices) for group in (*baselines, *packed)]
    invalid = [
        GroupRow(**_named(group, GroupRow))
        for group in all_groups
        if not group.valid and not _baselines.is_plain(group)
    ]
    return [*sorted(table, key=order), *invalid, *paper_rows(prices)]


def _named(group: Group, kind: type[GroupRow]) -> dict[str, Any]:
    return {**shared(group, kind), "hosts": len(group.hosts), "source": MEASURED}


def _row(frame: Frame, group: Group, plain: Sequence[Group], walls: Walls, prices: Prices) -> QuantRow:
    best, eager = (_baselines.fastest(group, plain, walls, runtime) for runtime in (None, EAGER))
    values = {
        **_named(group, QuantRow),
        "usd_per_mtok": usd_per_mtok(group.gpu, group.step_wall_ms, prices),
        "flags": _baselines.flags(frame, group, plain, best),
        "against": None if best is None else best.words,
        "ideal": _baselines.ideal(group, best),
        **_saving_fields("realised", best),
        **_saving_fields("over_eager", eager),
    }
    return QuantRow(**values)


def _saving_fields(name: str, baseline: Baseline | None) -> dict[str, Any]:
    saving = None if baseline is None else baseline.saving
    return {
        name: None if saving is None else saving.ratio,
        f"{name}_low": None if saving is None else saving.low,
        f"{name}_high": None if saving is None else saving.high,
        f"{name}_interval": None if saving is None else saving.interval,
        f"{name}_label": None if saving is None else saving.label,
        f"{name}_hosts": None if saving is None else saving.hosts,
    }


VALUE_COLUMNS = (
    SESSIONS,
    WALL,
    *WALL_ENDS,
    tail(90),
    P99,
    FLOOR_MS,
    R_FLOOR,
    Column(
        "ideal saving", "ideal", ".2f", unit="1", help="streamed bytes of the unquantised step over those of the row"
    ),
    Column(
        "realised saving",
        "realised_words",
        unit="1",
        help="step of the unquantised cell that `against` names over the row's step: within hosts, with the range of "
        "the sessions (below 5) or the confidence interval",
    ),
    Column("against", "against", help="runtime and dtype of the fastest unquantised cell on the same hosts"),
    Column("over eager", "over_eager_words", unit="1", help="the same ratio for the fastest eager unquantised cell"),
    Column("hosts", "realised_hosts", "d", help="number of hosts that both cells of the saving ran on"),
    *JOULES,
    PEAK,
    USD_PER_MTOK,
    Column(
        "logit error",
        "logit_error",
        ".4f",
        unit="1",
        help="logit error of the worst session, relative to the reference",
    ),
    Column(
        "flags",
        "marks",
        help="flags, options of the runtime, and deviations from the format's default (packing, checkpoint)",
    ),
)


def valid_rows(table: Sequence[AnyRow]) -> list[QuantRow | PaperRow]:
    """Returns the valid rows, including the paper's."""
    return [row for row in table if isinstance(row, QuantRow | PaperRow)]


def measured_rows(table: Sequence[AnyRow]) -> list[QuantRow]:
    """Returns the valid rows that were measured."""
    return [row for row in table if isinstance(row, QuantRow)]


def columns(valid: Savings) -> list[Column]:
    """Returns the columns for these rows."""
    more = distinguishing(measured_rows(valid), NAMED_FIELDS, DISTINGUISHING_FIELDS)
    return [*cell_columns((*NAMED_FIELDS, *more)), *VALUE_COLUMNS]


def sentences(table: Sequence[AnyRow]) -> list[str]:
    """Returns a summary of the measured savings, and a sentence for each saving beyond the ideal."""
    valid = valid_rows(table)
    beyond = [row for row in valid if (row.realised or 0) > (row.ideal or float("inf"))]
    measured = summary(measured_rows(table))
    return [
        *([measured] if measured else []),
        *(
            f"{row.title}: {row.realised:.2f}× where the bytes allow {row.ideal:.2f}×: its baseline is further "
            "from its floor than this row"
            for row in beyond
        ),
        *paper.two_steps_of({(row.gpu, row.model, row.ctx) for row in valid if isinstance(row, PaperRow)}),
    ]


def summary(table: Sequence[QuantRow]) -> str | None:
    """Returns a sentence with the smallest and largest saving and the verdicts, None without a saving.

    A verdict needs five sessions of both cells on one host.
    """
    savings = protocoltitles.comparable([row for row in table if _is_saving(row)])
    cells = sorted(savings, key=lambda row: row.realised or 0.0)
    if not cells:
        return None
    decided = [row for row in cells if row.realised_interval == intervals.CI95]
    fewest = f"fewer than {FEWEST_FOR_AN_INTERVAL} sessions"
    verdicts = _verdicts(decided, len(cells) - len(decided), fewest) if decided else f"no verdict, all have {fewest}"
    least = "" if len(cells) == 1 else f"{_saving_text(cells[0])} to "
    whole = f"{counted(len(cells), 'quantised cell')} against the fastest unquantised cell on the same hosts"
    return f"{whole}: {least}{_saving_text(cells[-1])}; {verdicts}"


def _verdicts(decided: Sequence[QuantRow], few: int, fewest: str) -> str:
    """Returns the number of savings that lie above 1, below 1 and on both sides, and of those without an interval."""
    faster = sum((row.realised_low or 0.0) > 1 for row in decided)
    slower = sum((row.realised_high or 0.0) < 1 for row in decided)
    counts = {"faster": faster, "slower": slower, "undecided": len(decided) - faster - slower, f"with {fewest}": few}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def _is_saving(row: QuantRow) -> bool:
    return row.quant != UNQUANTISED and row.realised is not None


def _saving_text(row: QuantRow) -> str:
    where = " ".join(str(row.value(name)) for name in (*PLACE, "quant", "kernel", "runtime"))
    return f"{row.realised_words}× ({where}, where the bytes allow {row.ideal:.2f}×)"


def _lines(table: Sequence[AnyRow]) -> list[str]:
    invalid = [row for row in table if isinstance(row, GroupRow) and not row.valid]
    return [*sentences_of_invalid(invalid, CELL_FIELDS), *(f"- {sentence}" for sentence in sentences(table))]


def _parts(table: Sequence[AnyRow]) -> Iterator[Part]:
    valid = valid_rows(table)
    yield Part(
        "quant",
        "Savings of quantised weights: in bytes, and in time",
        valid,
        columns(valid),
        first=(
            *("gpu", "model", "ctx", "quant", "runtime"),
            *("realised_words", "ideal", "step_wall_ms", "step_wall_p90_ms", "marks"),
        ),
        telling=("options",),
        expendable=("step_wall_p90_ms", "ideal", "step_wall_ms"),
        below=SPARSE,
        by_number=("realised_words", "over_eager_words"),
    )


def _draw(table: Sequence[AnyRow], _reading: Reading) -> Drawn | None:
    from analysis.figures import quant as figure

    return figure.draw(table)


INTRO = (
    "Each row is compared with the fastest unquantised cell of its card, model and ctx, and with the fastest eager one."
    " Only sessions of the same host are compared. The table includes the paper's rows."
)
TABLE = Table(
    name="quant",
    order=30,
    title="Savings of quantised weights",
    help="Savings of quantised weights: in bytes, and in time.",
    intro=INTRO,
    metrics=METRICS,
    columns=(*CELL.values(), *VALUE_COLUMNS),
    rows=lambda reading: rows(reading.frame, reading.every_code, reading.prices),
    priced=True,
    parts=_parts,
    sentences=sentences,
    summary="Savings",
    lines=_lines,
    questions=_payoff.QUESTIONS,
    figures=(Figure("quant", _draw),),
)
