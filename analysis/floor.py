"""The floor table: how far each cell's step is from the time its bytes need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from analysis import intervals
from analysis.sessions import Record, group, measured
from runner.metrics import lookup

CELL_FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache")
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


def rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """One row per group of valid sessions, and one (`valid` false) per group of invalid ones: never mixed."""
    found = measured(records)
    valid = [_row(sessions, True) for sessions in group(r for r in found if r["valid"])]
    return valid + [_row(sessions, False) for sessions in group(r for r in found if not r["valid"])]


def _row(sessions: list[Record], valid: bool) -> dict[str, Any]:
    cell = sessions[0]["cell"]
    steps = [session["latency"]["step_wall_ms"] for session in sessions]
    low, high, kind = intervals.of_sessions(steps)
    return {
        **{name: cell[name] for name in CELL_FIELDS},
        "sessions": len(sessions),
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


COLUMNS = (
    ("gpu", "gpu", "s"),
    ("model", "model", "s"),
    ("ctx", "ctx", "d"),
    ("runtime", "runtime", "s"),
    ("cache", "cache", "s"),
    ("n", "sessions", "d"),
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
    header = [title for title, _, _ in COLUMNS] + ["flags"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += [_line(row) for row in table if row["valid"]]
    for row in table:
        if not row["valid"]:
            name = " ".join(str(row[field]) for field in CELL_FIELDS)
            lines += ["", f"Invalid, {row['sessions']} sessions: {name}: {'; '.join(row['reasons'])}"]
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any]) -> str:
    cells = ["–" if row[key] is None else format(row[key], spec) for _, key, spec in COLUMNS]
    return "| " + " | ".join([*cells, ", ".join(row["flags"])]) + " |"
