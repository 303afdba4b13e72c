"""The distribution of single steps."""

from dataclasses import replace

import pytest

from analysis.figures import latency


@pytest.mark.medium
def test_the_distribution_is_of_all_timed_steps(source, frame, floor_rows):
    # of four steps each is a quarter
    assert latency.ecdf([4.0, 1.0, 3.0, 2.0]) == ([1.0, 2.0, 3.0, 4.0], [0.25, 0.5, 0.75, 1.0])
    cells, total = latency.read(source, frame, floor_rows)
    assert total == len([row for row in floor_rows if row.valid])
    assert [cell.sessions for cell in cells] == [13, 5, 5]  # the cells with 3 sessions are too many
    (eager,) = [cell for cell in cells if cell.name.startswith("h200 qwen2.5-7b 16384 bf16, eager")]
    assert (eager.sessions, len(eager.steps_ms)) == (5, 5)
    assert all(len(steps) == 30 for steps in eager.steps_ms)
    (axes,) = latency.draw(cells, total).figure.axes
    (line,) = [line for line in axes.lines if str(line.get_label()).startswith(eager.name)]
    assert list(line.get_xdata()) == sorted(step for steps in eager.steps_ms for step in steps)
    assert list(line.get_ydata())[-1] == 1.0


@pytest.mark.medium
def test_cells_with_equally_many_sessions_are_all_drawn_or_none(source, frame, floor_rows):
    rows = [row for row in floor_rows if row.valid][: latency.CELLS + 2]

    def drawn(*counts):
        table = [replace(row, sessions=count) for row, count in zip(rows, counts, strict=False)]
        cells, _ = latency.read(source, frame, table)
        return [cell.sessions for cell in cells]

    assert drawn(3, 3, 5) == [3, 3, 5]
    assert drawn(3, 5, 3, 5, 3, 3, 3, 3, 3, 3) == [5, 5]
    assert drawn(*[3] * 10) == [3] * latency.CELLS  # evenly spread


@pytest.mark.medium
def test_no_name_of_a_committed_cell_is_cut(source, frame, floor_rows):
    for row in floor_rows:
        cells, total = latency.read(source, frame, [row])
        if drawn := latency.draw(cells, total):
            assert all("…" not in str(line.get_label()) for line in drawn.figure.axes[0].lines)
