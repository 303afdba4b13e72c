"""The quantisation table: what smaller weights should save by their bytes, and what the kernel makes of it.

Each row is held against the fastest unquantised cell (`_baselines`; `against` says which it was), and against the
fastest eager one. `ideal` is the baseline's streamed bytes over the row's, `realised` the baseline's time over the
row's, `over_eager` the eager cell's over it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from analysis import groups, paper
from analysis.cellcolumns import CELL, FLOOR_MS, PEAK, R_FLOOR, SESSIONS, WALL, WALL_ENDS, cell_columns
from analysis.form import Column, distinguishing, sentences_of_invalid
from analysis.group import Group, shared
from analysis.reading import Reading
from analysis.sources.frame import Frame
from analysis.statistics import intervals
from analysis.table import Figure, Part, Table
from analysis.tables import _baselines
from analysis.tables._baselines import PLACE, UNQUANTISED, Baseline, Walls
from analysis.tables._quantpaper import paper_rows
from analysis.tables._quantrows import CELL_FIELDS, AnyRow, GroupRow, PaperRow, QuantRow
from runner import registry

if TYPE_CHECKING:
    from analysis.figures.style import Drawn

METRICS = ("step_wall_ms", "bytes_streamed", "floor_ms", "r_floor", "peak_bytes", "logit_error")
EAGER = "eager"
NAMED_FIELDS = (*PLACE, "quant", "kernel", "runtime", "dtype")
DISTINGUISHING_FIELDS = ("cache", "protocol", "attention", "env_key", "code_key")
MEASURED = "measured"


Savings = Sequence[QuantRow | PaperRow]


def rows(frame: Frame, every_code: bool = False) -> list[AnyRow]:
    """Returns one row per group of valid sessions of quantised cells and of their baselines, then one (`valid` false)
    per group of invalid ones, then the paper's. `every_code` shows groups of older code, too."""
    found = groups.rows(frame, METRICS, every_code)
    walls = groups.walls_of_hosts(frame)
    valid = [group for group in found if group.valid]
    plain = [group for group in valid if _baselines.is_plain(group)]
    packed = [group for group in valid if not _baselines.is_plain(group)]
    beside = [one for one in plain if any(_baselines.fits(one, group) for group in packed)]
    table = [_row(frame, group, plain, walls) for group in (*beside, *packed)]
    others = [
        GroupRow(**_named(group, GroupRow)) for group in found if not group.valid and not _baselines.is_plain(group)
    ]
    return [*sorted(table, key=_order), *others, *paper_rows()]


def _order(row: QuantRow) -> tuple[Any, ...]:
    """Unquantised rows come before others of the same runtime."""
    place = (row.gpu, row.model, row.ctx, *_runtime_order(row.runtime))
    return (*place, row.quant != UNQUANTISED, row.quant, row.kernel, row.dtype, row.options)


def _runtime_order(name: str) -> tuple[bool, bool, bool, str]:
    """Returns the place of a runtime: the plain step first, then runtimes made of it, compilers, and other models."""
    declared = registry.runtime(name).DECLARATION
    return declared.owns_model, declared.compiles, declared.made_of_eager, name


def _named(group: Group, kind: type[GroupRow]) -> dict[str, Any]:
    return {**shared(group, kind), "hosts": len(group.hosts), "source": MEASURED}


def _row(frame: Frame, group: Group, plain: Sequence[Group], walls: Walls) -> QuantRow:
    best, eager = (_baselines.fastest(group, plain, walls, runtime) for runtime in (None, EAGER))
    own = {
        **_named(group, QuantRow),
        "flags": _baselines.flags(frame, group, plain, best),
        "against": None if best is None else best.words,
        "ideal": _baselines.ideal(group, best),
        **_saving_fields("realised", best),
        **_saving_fields("over_eager", eager),
    }
    return QuantRow(**own)


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
    FLOOR_MS,
    R_FLOOR,
    Column("ideal saving", "ideal", ".2f", unit="1", help="bytes of the unquantised step over the row's"),
    Column(
        "realised saving",
        "realised_words",
        unit="1",
        help="the time of the unquantised cell that `against` names over the row's: within hosts, with the range of "
        "the sessions (below 5) or the interval",
    ),
    Column("against", "against", help="runtime and dtype of the fastest unquantised cell on the same hosts"),
    Column("over eager", "over_eager_words", unit="1", help="the same for the fastest eager cell"),
    Column("hosts", "realised_hosts", "d", help="hosts that both cells of the saving ran on"),
    PEAK,
    Column("logit error", "logit_error", ".4f", unit="1", help="the worst session's, relative to the reference"),
    Column(
        "flags",
        "marks",
        help="flags, options of the runtime, and what is not the format's first choice: another packing, a checkpoint",
    ),
)


def valid_rows(table: Sequence[AnyRow]) -> list[QuantRow | PaperRow]:
    """Returns the valid rows, the paper's among them."""
    return [row for row in table if isinstance(row, QuantRow | PaperRow)]


def measured_rows(table: Sequence[AnyRow]) -> list[QuantRow]:
    """Returns the valid rows that were measured."""
    return [row for row in table if isinstance(row, QuantRow)]


def columns(valid: Savings) -> list[Column]:
    """Returns the columns for these rows."""
    more = distinguishing(measured_rows(valid), NAMED_FIELDS, DISTINGUISHING_FIELDS)
    return [*cell_columns((*NAMED_FIELDS, *more)), *VALUE_COLUMNS]


def sentences(table: Sequence[AnyRow]) -> list[str]:
    """Returns what all of ours come to, and what a saving beyond the ideal says of the baseline."""
    valid = valid_rows(table)
    beyond = [row for row in valid if (row.realised or 0) > (row.ideal or float("inf"))]
    own = summary(measured_rows(table))
    return [
        *([own] if own else []),
        *(
            f"{row.title}: {row.realised:.2f}× where the bytes allow {row.ideal:.2f}×: its baseline is further "
            "from its own floor than this row"
            for row in beyond
        ),
        *paper.two_steps_of({(row.gpu, row.model, row.ctx) for row in valid if isinstance(row, PaperRow)}),
    ]


def summary(table: Sequence[QuantRow]) -> str | None:
    """Returns the least and the greatest saving, and how many are a verdict's: those with five sessions of both cells
    on a host at least. None without a saving."""
    cells = sorted((row for row in table if _is_saving(row)), key=lambda row: row.realised or 0.0)
    if not cells:
        return None
    decided = [row for row in cells if row.realised_interval == intervals.CI95]
    faster = sum((row.realised_low or 0.0) > 1 for row in decided)
    slower = sum((row.realised_high or 0.0) < 1 for row in decided)
    verdict = f"{faster} faster and {slower} slower by the whole interval" if decided else "no verdict"
    few = f"{len(cells) - len(decided)} with fewer than {intervals.FEWEST_FOR_AN_INTERVAL} sessions have none"
    said = f"of {len(decided)} cells {verdict}; {few}" if decided else f"{verdict}: {few.removesuffix(' have none')}"
    least = "" if len(cells) == 1 else f"{_paid(cells[0])} to "
    whole = f"{len(cells)} quantised cells over the fastest unquantised one on the same hosts"
    return f"{whole}: {least}{_paid(cells[-1])}; {said}"


def _is_saving(row: QuantRow) -> bool:
    return row.quant != UNQUANTISED and row.realised is not None


def _paid(row: QuantRow) -> str:
    where = " ".join(str(row.value(name)) for name in (*PLACE, "quant", "kernel", "runtime"))
    return f"{row.realised_words}× ({where}, where the bytes allow {row.ideal:.2f}×)"


def _lines(table: Sequence[AnyRow]) -> list[str]:
    others = [row for row in table if isinstance(row, GroupRow) and not row.valid]
    return [*sentences_of_invalid(others, CELL_FIELDS), *(f"- {sentence}" for sentence in sentences(table))]


def _parts(table: Sequence[AnyRow]) -> Iterator[Part]:
    valid = valid_rows(table)
    yield Part(
        "quant",
        "What quantised weights save by their bytes, and by the clock",
        valid,
        columns(valid),
        first=(
            *("ideal", "realised_words", "step_wall_ms", "step_wall_ms_low", "step_wall_ms_high"),
            *("over_eager_words", "floor_ms"),
        ),
        by_number=("realised_words", "over_eager_words"),
    )


def _draw(table: Sequence[AnyRow], _reading: Reading) -> Drawn | None:
    from analysis.figures import quant as figure

    return figure.draw(table)


INTRO = (
    "Each row is held against the fastest unquantised cell of its card, model and ctx, and against the eager one: "
    "sessions of the same host only. The paper's rows stand among ours."
)
TABLE = Table(
    name="quant",
    order=30,
    title="What quantised weights save",
    help="What quantised weights save: by their bytes, and by the clock.",
    intro=INTRO,
    metrics=METRICS,
    columns=(*CELL.values(), *VALUE_COLUMNS),
    rows=lambda reading: rows(reading.frame, reading.every_code),
    parts=_parts,
    sentences=sentences,
    summary="What is saved",
    lines=_lines,
    figures=(Figure("quant", _draw),),
)
