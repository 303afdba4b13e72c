"""The floor table: the distance of each cell's step from its memory-bound limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from analysis import groups
from analysis.cellcolumns import (
    CELL,
    FLAGS,
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
from analysis.table import Figure, Part, Table
from analysis.tables import _fastest
from analysis.tables._floorrow import FloorRow
from analysis.tables._ranges import RANGE_VALUES, gpu_ranges, range_columns

if TYPE_CHECKING:
    from analysis.figures.style import Drawn

METRICS = (
    "step_wall_ms",
    "step_wall_p90_ms",
    "step_wall_p95_ms",
    "p99_ms",
    "step_wall_revisit_ms",
    "step_busy_ms",
    "prefill_ms",
    "peak_bytes",
    "floor_ms",
    "r_floor",
    "r_floor_paper",
    "r_floor_achievable",
    "joules_per_token",
    "joules_per_token_above_idle",
)
CELL_FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache")
MORE_FIELDS = ("dtype", "attention", "weights_id", "options", "protocol", "env_key", "code_key")
NAMED_FIELDS = ("gpu", "model", "ctx", "quant", "runtime", "cache")
FIRST = (
    *("gpu", "model", "ctx", "quant", "runtime"),
    *("step_wall_ms", "r_floor", "step_wall_p90_ms", "usd_per_mtok", "flags"),
)
# Shown, in this order, only if rows would otherwise look alike.
DISTINGUISHING_FIELDS = ("kernel", *MORE_FIELDS)
NO_RANGE = "No range: no valid unquantised cell has an `r_floor`."


def rows(frame: Frame, every_code: bool = False, prices: Prices = NONE) -> list[FloorRow]:
    """Returns one row per group of valid sessions, then one per group of invalid or unmeasured ones.

    `every_code` also shows sessions of older code, each code in separate rows.
    """
    all_rows = [_row(group, prices) for group in groups.rows(frame, METRICS, every_code)]
    return [row for row in all_rows if row.valid] + [row for row in all_rows if not row.valid]


def _row(group: Group, prices: Prices) -> FloorRow:
    step_ms = group.step_wall_ms
    values = {
        **shared(group, FloorRow),
        "disturbed": group.disturbed or None,
        "hosts": len(group.hosts),
        "tokens_per_s": 1000 / step_ms if step_ms else None,
        "usd_per_mtok": usd_per_mtok(group.gpu, step_ms, prices),
    }
    return FloorRow(**values)


VALUE_COLUMNS = (
    SESSIONS,
    Column("hosts", "hosts", "d", help="number of hosts (machine and card) that the sessions ran on"),
    Column(
        "disturbed",
        "disturbed",
        "d",
        optional=True,
        help="sessions that the row excludes because other processes kept the host busy; a row with only such sessions "
        "excludes none",
    ),
    Column("superseded", "superseded", "d", help="sessions of older code that the row leaves out"),
    WALL,
    *WALL_ENDS,
    *map(tail, (90, 95)),
    P99,
    Column("tokens/s", "tokens_per_s", ".1f", unit="1/s", help="throughput of one stream: 1000 divided by ms/step"),
    Column(
        "revisit ms",
        "step_wall_revisit_ms",
        ".2f",
        optional=True,
        unit="ms",
        help="ms/step at context lengths that the process has processed before (growing cache only)",
    ),
    Column("busy ms", "step_busy_ms", ".2f", optional=True, unit="ms", help="time of a step in which kernels run"),
    Column(
        "prefill ms", "prefill_ms", ".0f", unit="ms", help="time to process the prompt up to ctx, before the first step"
    ),
    PEAK,
    USD_PER_MTOK,
    *JOULES,
    FLOOR_MS,
    R_FLOOR,
    Column(
        "r_floor_paper",
        "r_floor_paper",
        ".3f",
        unit="1",
        help="the same ratio with the paper's count of bytes, which includes the whole input embedding",
    ),
    Column(
        "r_floor_achievable",
        "r_floor_achievable",
        ".3f",
        unit="1",
        help="the same ratio with the measured read bandwidth of this card",
    ),
    FLAGS,
)


def columns(valid: Sequence[FloorRow]) -> list[Column]:
    """Returns the columns for these rows."""
    return [*cell_columns((*NAMED_FIELDS, *distinguishing(valid, NAMED_FIELDS, DISTINGUISHING_FIELDS))), *VALUE_COLUMNS]


def _parts(table: Sequence[FloorRow]) -> Iterator[Part]:
    valid = [row for row in table if row.valid]
    caption = "Distance of each cell from its memory floor"
    yield Part("floor", caption, valid, columns(valid), first=FIRST, below=SPARSE, nothing="No session is valid.")
    ranges = gpu_ranges(table)
    caption = "Range and median over each GPU's unquantised cells"
    first = ("gpu", "runtime", "cache", "cells", "r_floor_low", "r_floor_high", "r_floor_median")
    yield Part("ranges", caption, ranges, range_columns(ranges), "cells", first, linked=("cells",), nothing=NO_RANGE)


def _lines(table: Sequence[FloorRow]) -> list[str]:
    invalid = [row for row in table if not row.valid]
    return sentences_of_invalid(invalid, (*CELL_FIELDS, *distinguishing(invalid, CELL_FIELDS, MORE_FIELDS)))


def _steps(table: Sequence[FloorRow], _reading: Reading) -> Drawn | None:
    from analysis.figures import steps

    return steps.draw(table)


def _bandwidth(table: Sequence[FloorRow], _reading: Reading) -> Drawn | None:
    from analysis.figures import bandwidth

    return bandwidth.draw(table)


def _context(table: Sequence[FloorRow], _reading: Reading) -> Drawn | None:
    from analysis.figures import context

    return context.draw(table)


def _latency(table: Sequence[FloorRow], reading: Reading) -> Drawn | None:
    from analysis.figures import latency

    return latency.draw(*latency.read(reading.source, reading.frame, table))


INTRO = (
    "A step reads its weights and its cache once. The floor is the time that this takes at the datasheet bandwidth. "
    "Each row is a cell: sessions with the same configuration, code and environment."
)
TABLE = Table(
    name="floor",
    order=10,
    title="Distance of each cell from its memory floor",
    help="Distance of each cell from its memory floor. Records that `runner verify` rejects are named and left out.",
    heading="Distance from the floor",
    intro=INTRO,
    metrics=METRICS,
    columns=(*CELL.values(), *VALUE_COLUMNS, *RANGE_VALUES),
    rows=lambda reading: rows(reading.frame, reading.every_code, reading.prices),
    priced=True,
    parts=_parts,
    excerpts={"ranges": "print only range and median over each GPU's unquantised cells"},
    lines=_lines,
    questions=_fastest.QUESTIONS,
    figures=(
        Figure("floor-steps", _steps),
        Figure("floor-bandwidth", _bandwidth),
        Figure("floor-context", _context),
        Figure("latency", _latency, below=True),
    ),
)
