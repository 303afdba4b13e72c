"""Print the table of the front page: one model at one context, from the committed records.

python -m tests.pages.headline

A GPU has one row for plain PyTorch (`eager`, unquantised, static cache), and one for the fastest row of each weight
format whose passes agree. Each has at least three sessions of the default protocol: a tail's windows are longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    """Yields the rows of the front page, by GPU."""
    of_model = [row for row in rows if _is_asked(row)]
    for _, of_gpu in groupby(sorted(of_model, key=lambda row: row.gpu), lambda row: row.gpu):
        found = list(of_gpu)
        yield from (row for row in found if _is_plain(row))
        yield from _fastest_of_each_quant(found)


def _is_asked(row: FloorRow) -> bool:
    place = (row.model, row.ctx, row.protocol)
    enough = row.sessions >= FEWEST_SESSIONS
    return row.valid and enough and place == (MODEL, CTX, protocol.NAMED[DEFAULT_PROTOCOL].title)


def _is_plain(row: FloorRow) -> bool:
    return (row.runtime, row.quant, row.dtype, row.cache) == ("eager", "bf16", "bf16", "static")


def _fastest_of_each_quant(rows: Iterable[FloorRow]) -> list[FloorRow]:
    """Returns the fastest steady row of each weight format, the slowest format first."""
    fastest: dict[str, FloorRow] = {}
    for row in sorted(rows, key=_step_ms):
        if not UNSTEADY & set(row.flags):
            fastest.setdefault(row.quant, row)
    return sorted(fastest.values(), key=_step_ms, reverse=True)


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


if __name__ == "__main__":
    print(markdown(chosen(floor.rows(Folder(RECORDS).frame(floor.METRICS)))), end="")
