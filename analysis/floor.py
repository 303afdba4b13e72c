"""The floor table: how far each cell's step is from the time its bytes need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from analysis import intervals
from analysis.sessions import Group, Record, group, measured, protocol_title
from runner.metrics import lookup

CELL_FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache")
# Shown, in this order, only where rows would look alike without.
TELLING_FIELDS = (
    "quant",
    "kernel",
    "dtype",
    "attention",
    "weights_id",
    "options",
    "protocol",
    "env_key",
    "code_key",
)
MEDIANS = {
    "floor_ms": "floor.floor_ms",
    "r_floor": "floor.r_floor",
    "r_floor_paper": "floor.r_floor_paper",
    "r_floor_achievable": "floor.r_floor_achievable",
    "step_wall_revisit_ms": "latency.step_wall_revisit_ms",
    "step_span_ms": "latency.step_span_ms",
    "step_busy_ms": "latency.step_busy_ms",
    "kernels_per_step": "latency.kernels_per_step",
}


def rows(records: Iterable[Record], every_code: bool = False) -> list[dict[str, Any]]:
    """One row per group of valid sessions, and one (`valid` false) per group of invalid ones: never mixed.

    `every_code` shows the sessions of older code too, each code in a row of its own.
    """
    found = measured(records)
    return [_row(each, valid) for valid in (True, False) for each in _groups(found, valid, every_code)]


def _groups(found: list[Record], valid: bool, every_code: bool) -> list[Group]:
    return group((record for record in found if record["valid"] is valid), every_code)


def _row(found: Group, valid: bool) -> dict[str, Any]:
    sessions, first = found.sessions, found.sessions[0]
    cell, keys = first["cell"], first["keys"]
    steps = [session["latency"]["step_wall_ms"] for session in sessions]
    low, high, kind = intervals.of_sessions(steps)
    return {
        **{name: cell[name] for name in CELL_FIELDS},
        **{name: cell[name] for name in ("dtype", "attention", "weights_id")},
        "options": ",".join(f"{name}:{value}" for name, value in sorted(cell["options"].items())),
        "protocol": protocol_title(first),
        "env_key": keys["env_key"],
        "code_key": keys["code_key"],
        "sessions": len(sessions),
        "superseded": found.superseded,
        "hosts": len({session["keys"]["host_id"] for session in sessions}),
        "step_wall_ms": intervals.centre(steps),
        "step_wall_ms_low": low,
        "step_wall_ms_high": high,
        "interval": kind,
        **{name: intervals.centre([lookup(s, path) for s in sessions]) for name, path in MEDIANS.items()},
        "valid": valid,
        "flags": _flags(sessions),
        "reasons": sorted({reason for session in sessions for reason in session["reasons"]}),
    }


def _flags(sessions: list[Record]) -> list[str]:
    """Each flag any session carries; `mixed-host` when they come from several."""
    flags = {flag for session in sessions for flag in session["flags"]}
    if len({session["keys"]["host_id"] for session in sessions}) > 1:
        flags.add("mixed-host")
    return sorted(flags)


Column = tuple[str, str, str]
NAME_COLUMNS: tuple[Column, ...] = (
    ("gpu", "gpu", "s"),
    ("model", "model", "s"),
    ("ctx", "ctx", "d"),
    ("runtime", "runtime", "s"),
    ("cache", "cache", "s"),
)
COUNT_COLUMNS: tuple[Column, ...] = (("n", "sessions", "d"), ("hosts", "hosts", "d"))
SUPERSEDED: Column = ("superseded", "superseded", "d")
VALUE_COLUMNS: tuple[Column, ...] = (
    ("ms/step", "step_wall_ms", ".2f"),
    ("low", "step_wall_ms_low", ".2f"),
    ("high", "step_wall_ms_high", ".2f"),
    ("revisit ms", "step_wall_revisit_ms", ".2f"),
    ("busy ms", "step_busy_ms", ".2f"),
    ("floor ms", "floor_ms", ".2f"),
    ("r_floor", "r_floor", ".3f"),
    ("r_floor_paper", "r_floor_paper", ".3f"),
    ("r_floor_achievable", "r_floor_achievable", ".3f"),
)


def markdown(table: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table; invalid groups follow it with their reasons."""
    valid, invalid = ([row for row in table if row["valid"] is wanted] for wanted in (True, False))
    columns = _columns(valid)
    header = [*(title for title, _, _ in columns), "flags"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += [_line(row, columns) for row in valid]
    fields = (*CELL_FIELDS, *_telling(invalid, CELL_FIELDS))
    for row in invalid:
        older = f" ({row['superseded']} more of older code)" if row["superseded"] else ""
        name = " ".join(str(row[field]) for field in fields)
        lines += ["", f"Invalid, {row['sessions']} sessions{older}: {name}: {'; '.join(row['reasons'])}"]
    return "\n".join(lines) + "\n"


def _columns(table: list[dict[str, Any]]) -> list[Column]:
    telling = _telling(table, [field for _, field, _ in NAME_COLUMNS])
    counts = [*COUNT_COLUMNS, *([SUPERSEDED] if any(row["superseded"] for row in table) else [])]
    return [*NAME_COLUMNS, *((field, field, "s") for field in telling), *counts, *VALUE_COLUMNS]


def _telling(table: list[dict[str, Any]], named: Sequence[str]) -> list[str]:
    """The fields that tell rows apart which are alike in those already named."""
    added: list[str] = []
    for field in TELLING_FIELDS:
        values = defaultdict(set)
        for row in table:
            values[tuple(row[name] for name in (*named, *added))].add(row[field])
        if field not in named and any(len(different) > 1 for different in values.values()):
            added.append(field)
    return added


def _line(row: dict[str, Any], columns: list[Column]) -> str:
    cells = ["–" if row[key] is None else format(row[key], spec) for _, key, spec in columns]
    return "| " + " | ".join([*cells, ", ".join(row["flags"])]) + " |"
