"""Print the table of the front page: one model at one context, from the committed records.

python -m tests.pages.headline

A GPU has one row for plain PyTorch (`eager`, unquantised, static cache), and one for the fastest row of each weight
format whose passes agree. Each has at least three sessions of the default protocol: a tail's windows are longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path

from analysis.sources.records import Folder
from analysis.tables import floor
from analysis.tables._floorrow import FloorRow
from runner.cell import protocol
from runner.cell.vocabulary import DEFAULT_PROTOCOL

RECORDS = Path(__file__).resolve().parents[2] / "experiments" / "records"
MODEL, CTX = "qwen2.5-7b", 2048
FEWEST_SESSIONS = 3
UNSTEADY = {"drifting", "passes-disagree"}
HEAD = ("GPU", "weights", "kernel, runtime", "ms/step", "p90 ≤ ms", "r_floor", "flags")


def chosen(rows: Iterable[FloorRow]) -> Iterator[FloorRow]:
    """Yields the rows of the front page's table, by GPU."""
    for found in of_each_gpu(rows):
        yield from (row for row in found if is_plain(row))
        yield from fastest(found, lambda row: row.quant)


def of_each_gpu(rows: Iterable[FloorRow]) -> Iterator[list[FloorRow]]:
    """Yields the rows of the front page's model and context, one GPU after the other."""
    of_model = [row for row in rows if _is_asked(row)]
    for _, found in groupby(sorted(of_model, key=lambda row: row.gpu), lambda row: row.gpu):
        yield list(found)


def _is_asked(row: FloorRow) -> bool:
    place = (row.model, row.ctx, row.protocol)
    enough = row.sessions >= FEWEST_SESSIONS
    return row.valid and enough and place == (MODEL, CTX, protocol.NAMED[DEFAULT_PROTOCOL].title)


def is_plain(row: FloorRow) -> bool:
    """Returns whether the row is plain PyTorch with a static cache."""
    return (row.runtime, row.quant, row.dtype, row.cache) == ("eager", "bf16", "bf16", "static")


def fastest(rows: Iterable[FloorRow], kind: Callable[[FloorRow], str]) -> list[FloorRow]:
    """Returns the fastest steady row of each kind, the slowest kind first."""
    found: dict[str, FloorRow] = {}
    for row in sorted(rows, key=_step_ms):
        if not UNSTEADY & set(row.flags):
            found.setdefault(kind(row), row)
    return sorted(found.values(), key=_step_ms, reverse=True)


def _step_ms(row: FloorRow) -> float:
    assert row.step_wall_ms is not None
    return row.step_wall_ms


def markdown(rows: Iterable[FloorRow]) -> str:
    """Returns the rows as a table."""
    lines = [HEAD, ("---",) * len(HEAD), *map(_cells, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(row: FloorRow) -> tuple[str, ...]:
    weights = row.quant if row.quant != "bf16" else row.dtype
    times = (f"{row.step_wall_ms:.2f}", f"{row.step_wall_p90_ms:.2f}", f"{100 * (row.r_floor or 0):.0f} %")
    return (row.gpu, weights, f"{row.kernel}, {row.runtime}", *times, ", ".join(row.flags))


def committed() -> list[FloorRow]:
    """Returns the rows of the floor table, from the committed records."""
    return floor.rows(Folder(RECORDS).frame(floor.METRICS))


if __name__ == "__main__":
    print(markdown(chosen(committed())), end="")
