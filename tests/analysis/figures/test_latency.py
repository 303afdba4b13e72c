"""The distribution of single steps."""

import pytest

from analysis.figures import latency


@pytest.mark.medium
def test_the_distribution_is_of_all_timed_steps(source, frame, floor_rows):
    # of four steps each is a quarter
    assert latency.ecdf([4.0, 1.0, 3.0, 2.0]) == ([1.0, 2.0, 3.0, 4.0], [0.25, 0.5, 0.75, 1.0])
    cells, total = latency.read(source, frame, floor_rows)
    assert total == len([row for row in floor_rows if row.valid])
    assert len(cells) == latency.CELLS
    (graph,) = [cell for cell in cells if cell.name.startswith("h200 qwen2.5-7b 2048 bf16, graph")]
    assert (graph.sessions, len(graph.steps_ms)) == (20, 20)
    assert all(len(steps) == 30 for steps in graph.steps_ms)
    (axes,) = latency.draw(cells, total).figure.axes
    (line,) = [line for line in axes.lines if str(line.get_label()).startswith(graph.name)]
    assert list(line.get_xdata()) == sorted(step for steps in graph.steps_ms for step in steps)
    assert list(line.get_ydata())[-1] == 1.0
