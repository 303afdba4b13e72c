"""The distribution of the steps of configurations, with the deadline."""

from __future__ import annotations

import pytest

from analysis.choose import choosing
from analysis.choose.candidate import MEASURED
from analysis.choose.limits import Limits
from analysis.choose.scope import Scope
from analysis.figures import choose, latency
from analysis.reading import Reading
from tests.support import drawings

SCOPE = Scope("qwen2.5-7b", 2048, ("h100", "h200"), True)


def rows_of(reading: Reading, limits: Limits):
    return choosing.chosen(reading, SCOPE, limits, {}).rows


@pytest.mark.medium
def test_the_first_measured_rows_are_drawn_with_the_deadline(source, frame, monkeypatch) -> None:
    monkeypatch.setattr(latency, "CELLS", 4)
    reading = Reading(frame, source)
    table = rows_of(reading, Limits(8.0))
    cells, total = choose.read(reading, table)
    rows = [row for row in table if row.basis == MEASURED]
    measured = [row for row in rows if row.chunks == max(each.chunks for each in rows if each.cell_key == row.cell_key)]
    assert (len(cells), total) == (latency.CELLS, len(measured))
    assert cells[0].name.startswith("h200 bf16 fused")
    assert [cell.sessions for cell in cells] == [row.sessions for row in measured[: latency.CELLS]]
    drawn = choose.draw(cells, total, 8.0, 1)
    (axes,) = drawn.figure.axes
    assert [8.0, 8.0] in [list(line.get_xdata()) for line in axes.lines]
    assert axes.get_xscale() == "log"
    low, high = axes.get_xlim()
    assert low < 8.0 < high
    assert f"Drawn: {latency.CELLS} of {total} measured cells" in drawn.caption
    assert drawings.faults(drawn.figure) == []


@pytest.mark.medium
def test_a_cell_is_drawn_in_the_protocol_with_the_most_steps(source, frame) -> None:
    table = rows_of(Reading(frame, source), Limits(8.0))
    fused = [row for row in table if row.basis == MEASURED and (row.gpu, row.runtime) == ("h200", "fused")]
    assert sorted(row.chunks for row in fused) == [30, 3000]
    cells, _ = choose.read(Reading(frame, source), fused)
    assert [len(steps) for cell in cells for steps in cell.steps_ms] == [3000] * 3


@pytest.mark.medium
def test_for_several_tokens_chunks_are_drawn(source, frame) -> None:
    reading = Reading(frame, source)
    table = rows_of(reading, Limits(80.0, 8))
    cells, total = choose.read(reading, table)
    assert {len(steps) for cell in cells for steps in cell.steps_ms} == {30 // 8, 10 * (300 // 8)}
    (axes,) = choose.draw(cells, total, 80.0, 8).figure.axes
    assert axes.get_xlabel() == "8 steps, host clock (ms)"
    assert axes.get_ylabel() == "share of chunks up to this time"


def test_without_a_measured_row_there_is_no_figure() -> None:
    assert choose.draw([], 0, 50.0, 1) is None
