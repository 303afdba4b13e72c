"""The floor table: how far each cell's step is from the time its bytes need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any

from analysis import groups
from analysis.sources.frame import Frame
from analysis.tables.form import FLAGS, Column, markdown_table, sentences_of_invalid, telling
from runner.cell import catalogue

Row = dict[str, Any]

METRICS = (
    "step_wall_ms",
    "step_wall_p90_ms",
    "step_wall_p95_ms",
    "step_wall_p99_ms",
    "step_wall_revisit_ms",
    "step_busy_ms",
    "prefill_ms",
    "peak_bytes",
    "floor_ms",
    "r_floor",
    "r_floor_paper",
    "r_floor_achievable",
)
CELL_FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache")
MORE_FIELDS = ("dtype", "attention", "weights_id", "options", "protocol", "env_key", "code_key")
NAMED_FIELDS = ("gpu", "model", "ctx", "runtime", "cache")
# Shown, in this order, only where rows would look alike without.
TELLING_FIELDS = ("quant", "kernel", *MORE_FIELDS)
COUNTS = ("status", "valid", "sessions", "disturbed", "superseded", "older_code")
OF_WALL = ("step_wall_ms_low", "step_wall_ms_high", "interval", "interval_label")
HOUR_MS = 3.6e6


def rows(frame: Frame, every_code: bool = False) -> list[Row]:
    """One row per group of valid sessions, then one per group of invalid ones and of those not measured: never mixed.

    `every_code` shows the sessions of older code too, each code in a row of its own. Beside the cell's fields and
    `METRICS` (ms; the median session's, of tails and memory the worst's): tokens_per_s, and usd_per_mtok by the
    catalogue's price of an hour, None where it has none.
    """
    found = [_row(group) for group in groups.rows(frame, METRICS, every_code)]
    return [row for row in found if row["valid"]] + [row for row in found if not row["valid"]]


def _row(group: Row) -> Row:
    step_ms = group["step_wall_ms"]
    return {
        **{name: group[name] for name in (*CELL_FIELDS, *MORE_FIELDS, "cell_key", *COUNTS)},
        "disturbed": group["disturbed"] or None,
        "hosts": len(group["hosts"]),
        **{name: group[name] for name in (*METRICS, *OF_WALL)},
        "tokens_per_s": 1000 / step_ms if step_ms else None,
        "usd_per_mtok": usd_per_mtok(group["gpu"], step_ms),
        "flags": group["flags"],
        "reasons": group["reasons"],
    }


def usd_per_mtok(gpu: str, step_ms: float | None) -> float | None:
    """Dollars for a million tokens of one stream: price per hour · step · 10⁶ / hour."""
    known = catalogue.gpus().get(gpu)
    price = known.price_usd_per_hour.value if known else None
    return None if price is None or step_ms is None else price * step_ms * 1e6 / HOUR_MS


VALUE_COLUMNS = (
    Column("n", "sessions", "d"),
    Column("hosts", "hosts", "d"),
    Column("disturbed", "disturbed", "d", optional=True),
    Column("superseded", "superseded", "d"),
    Column("ms/step", "step_wall_ms", ".2f"),
    Column("low", "step_wall_ms_low", ".2f"),
    Column("high", "step_wall_ms_high", ".2f"),
    Column("interval", "interval_label"),
    Column("p90 ≤", "step_wall_p90_ms", ".2f", optional=True),
    Column("p95 ≤", "step_wall_p95_ms", ".2f", optional=True),
    Column("p99 ≤", "step_wall_p99_ms", ".2f", optional=True),
    Column("tokens/s", "tokens_per_s", ".1f"),
    Column("revisit ms", "step_wall_revisit_ms", ".2f", optional=True),
    Column("busy ms", "step_busy_ms", ".2f", optional=True),
    Column("prefill ms", "prefill_ms", ".0f"),
    Column("peak GB", "peak_bytes", ".2f", scale=1e9),
    Column("$/Mtok", "usd_per_mtok", ".2f", optional=True),
    Column("floor ms", "floor_ms", ".2f"),
    Column("r_floor", "r_floor", ".3f"),
    Column("r_floor_paper", "r_floor_paper", ".3f"),
    Column("r_floor_achievable", "r_floor_achievable", ".3f"),
    FLAGS,
)


def markdown(table: Sequence[Row]) -> str:
    """The rows as a Markdown table, the range of each GPU below it, and what is in neither with its reasons."""
    valid = [row for row in table if row["valid"]]
    lines = markdown_table(valid, columns(valid))
    if ranges := gpu_ranges(table):
        lines += ["", *markdown_table(ranges, range_columns(ranges))]
    others = [row for row in table if not row["valid"]]
    if others:
        fields = (*CELL_FIELDS, *telling(others, CELL_FIELDS, MORE_FIELDS))
        lines += ["", *sentences_of_invalid(others, fields)]
    return "\n".join(lines) + "\n"


def columns(valid: Sequence[Row]) -> list[Column]:
    """The columns for these rows."""
    names = [*NAMED_FIELDS, *telling(valid, NAMED_FIELDS, TELLING_FIELDS)]
    return [*(Column(name, name, "d" if name == "ctx" else "s") for name in names), *VALUE_COLUMNS]


RANGE_NAMED, RANGE_TELLING = ("gpu", "runtime", "cache"), ("dtype", "attention", "options", "protocol", "kernel")
RANGE_VALUES = (
    Column("cells", "cells", "d"),
    Column("r_floor_paper from", "r_floor_paper_low", ".3f"),
    Column("to", "r_floor_paper_high", ".3f"),
    Column("median", "r_floor_paper_median", ".3f"),
    Column("r_floor from", "r_floor_low", ".3f"),
    Column("to", "r_floor_high", ".3f"),
    Column("median", "r_floor_median", ".3f"),
)


def range_columns(ranges: Sequence[Row]) -> list[Column]:
    """The columns for these ranges."""
    names = (*RANGE_NAMED, *telling(ranges, RANGE_NAMED, RANGE_TELLING))
    return [*(Column(name, name) for name in names), *RANGE_VALUES]


def ranges_markdown(ranges: Sequence[Row]) -> str:
    """The ranges as a Markdown table."""
    return "\n".join(markdown_table(ranges, range_columns(ranges))) + "\n"


def gpu_ranges(table: Sequence[Row]) -> list[Row]:
    """Range and median of both ratios, as the paper reports them, of each GPU's cells that are alike (`alike`)."""
    return [
        {**dict(zip((*RANGE_NAMED, *RANGE_TELLING), names, strict=True)), "cells": len(own), **_range(own)}
        for names, own in alike(table)
    ]


def alike(table: Sequence[Row]) -> list[tuple[tuple[str, ...], list[Row]]]:
    """The valid unquantised cells of each GPU that differ in model and ctx alone, after what they share. A cell counts
    once, with its newest sessions."""
    cells: dict[tuple[str, ...], dict[tuple[str, int], Row]] = defaultdict(dict)
    for row in table:  # of alike cells the newest comes last
        if row["valid"] and row["quant"] == "bf16" and row["r_floor"] is not None:
            shared = tuple(str(row[name]) for name in (*RANGE_NAMED, *RANGE_TELLING))
            cells[shared][(row["model"], row["ctx"])] = row
    return [(shared, list(own.values())) for shared, own in sorted(cells.items())]


def _range(own: Sequence[Row]) -> Row:
    found: Row = {}
    for name in ("r_floor_paper", "r_floor"):
        values = [row[name] for row in own]
        found |= {f"{name}_low": min(values), f"{name}_high": max(values), f"{name}_median": median(values)}
    return found
