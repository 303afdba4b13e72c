"""Records like the paper's cells, and the rows of the paper check for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from analysis import paper
from analysis.tables import papercheck
from analysis.tables._verdict import CheckRow
from tests.support.frames import frame_of
from tests.support.records import example_record

Record = dict[str, Any]

L4 = {"key": "l4", "name": "NVIDIA L4", "bandwidth_gbs": 300.0}
# W + K of Qwen2.5-7B at 2048 is 15.349 GB: 4.582 ms at 3350 GB/s, so R_floor .270 is 16.97 ms a step
FLOOR_PAPER_MS = 15.348673536 / 3.350


def on(gpu: Record, step_ms: float, **changes: Any) -> Record:
    """A session on that GPU, with a growing cache as the paper's."""
    return example_record(step_ms=step_ms, gpu=gpu, cell={"gpu": gpu["key"], "cache": "dynamic"}, **changes)


def rows_of(records: Iterable[Record]) -> list[CheckRow]:
    """The rows of the paper check for these records."""
    return papercheck.rows(frame_of(records))


def checks(records: Iterable[Record], **wanted: object) -> list[CheckRow]:
    """Returns the rows that have these values."""
    found = rows_of(records)
    return [row for row in found if all(row.value(name) == value for name, value in wanted.items())]


def h100_check(records: Iterable[Record]) -> CheckRow:
    """The row of the R_floor that the paper quotes first: 0.270 on the H100."""
    (row,) = checks(records, quantity="r_floor_paper", gpu="h100", model="qwen2.5-7b", ctx=2048)
    return row


def with_flags(found: Record, *flags: str) -> Record:
    """The record with these flags alone."""
    found["flags"] = list(flags)
    return found


def with_cell(found: Record, **fields: object) -> Record:
    """The record of a cell with other values of these fields, and a key of its own."""
    found["cell"] |= fields
    found["keys"]["cell_key"] = "-".join(map(str, found["cell"].values()))
    return found


def whole_gpu(gpu: Record, steps_ms: Sequence[float]) -> Iterator[Record]:
    """All cells of a GPU; of the first with the last step, all others with the first."""
    places = sorted({(model, ctx) for _, model, ctx in paper.matrix()})
    for number, (model, ctx) in enumerate(places):
        found = on(gpu, steps_ms[-1] if number == 0 else steps_ms[0])
        yield with_cell(found, model=model, ctx=ctx)
