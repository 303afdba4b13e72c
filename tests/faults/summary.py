"""Table of the fault points of a log, which `make test-faults` writes.

python -m tests.faults.summary docs/evidence/faults/two-cores.jsonl
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Line = dict[str, Any]
HEADER = ("fault", "points", "held", "sessions", "longest (s)")


def read(path: Path) -> list[Line]:
    """Returns the last line of each point in the order of the log, since a point may be run again."""
    lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    return list({(line["kind"], line["point"], line["seed"]): line for line in lines}.values())


def table(lines: Sequence[Line]) -> Iterator[str]:
    """Yields the rows of a Markdown table: a row for each kind of fault, and one for all."""
    kinds = sorted({line["kind"] for line in lines})
    yield f"| {' | '.join(HEADER)} |"
    yield "|---|---|---|---|---|"
    for kind in kinds:
        yield _row(kind, [line for line in lines if line["kind"] == kind])
    yield _row("all", lines)


def _row(name: str, lines: Sequence[Line]) -> str:
    held = sum(line["held"] for line in lines)
    sessions = sum(line.get("sessions", 0) for line in lines)
    longest_s = max(line["seconds"] for line in lines)
    return f"| {name} | {len(lines)} | {held} | {sessions} | {longest_s:.0f} |"


if __name__ == "__main__":
    found = [line for path in sys.argv[1:] for line in read(Path(path))]
    seeds = ", ".join(sorted({line["seed"] for line in found}))
    print(f"Seed {seeds}:\n")
    print("\n".join(table(found)))
    if broken := [f"{line['kind']} {line['point']}" for line in found if not line["held"]]:
        print(f"\nNot held: {', '.join(broken)}")
