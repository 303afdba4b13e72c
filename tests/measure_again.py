"""List the committed cells that no session of the gate's present version has measured.

python -m tests.measure_again > docs/measure-again.md
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runner.record import record, spool
from tests.support.derive import is_measured

RECORDS = Path(__file__).resolve().parents[1] / "experiments" / "records"
FIELDS = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "dtype")
HEAD = """# Cells to measure again

Since gate version 2, the gate checks every timed step ([methodology.md](methodology.md#correctness-gate)). The
committed sessions of the cells below are all of version 1. Every table shows them with the flag `gate-1` until a
session of the cell supersedes them. `python -m tests.measure_again` makes this page from the committed records.

"""


def cells(records: Iterable[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], int]]:
    """Each cell without a session of the present version, and how many measured ones it has, in the order of its
    fields."""
    sessions = defaultdict(list)
    for found in records:
        if is_measured(found):
            sessions[found["keys"]["cell_key"]].append(found)
    older = [of_cell for of_cell in sessions.values() if all(map(_is_older, of_cell))]
    counted = [(of_cell[0]["cell"], len(of_cell)) for of_cell in older]
    return sorted(counted, key=lambda row: ([row[0][field] for field in FIELDS], sorted(row[0]["options"].items())))


def _is_older(found: Mapping[str, Any]) -> bool:
    return "gate_version" not in found["gate"]


def page(rows: list[tuple[Mapping[str, Any], int]]) -> str:
    """The page of docs/, Markdown."""
    lines = [f"| {' | '.join(FIELDS)} | options | sessions |", "|---" * (len(FIELDS) + 2) + "|"]
    for cell, sessions in rows:
        options = ", ".join(f"{name}:{value}" for name, value in sorted(cell["options"].items()))
        lines.append(f"| {' | '.join(str(cell[field]) for field in FIELDS)} | {options} | {sessions} |")
    return HEAD + f"{len(rows)} cells:\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(cells(map(record.read, spool.record_files(RECORDS)))), end="")
