"""The ratios of A/Bs with their sessions."""

import pytest

from analysis import paper
from analysis.figures import graphs
from analysis.tables import graphs as graphs_table


@pytest.mark.medium
def test_an_ab_has_its_ratio_interval_and_sessions(measured):
    table = graphs_table.rows(measured)
    drawn = graphs.draw(measured, table, paper.graphs_rows())
    above, *below = drawn.figure.axes
    ratios = sorted(float(bars.lines[0].get_xdata()[0]) for bars in above.containers)
    assert ratios == sorted(row.ratio for row in [*table, *paper.graphs_rows()])
    ends = {
        (round(float(segment[0][0]), 6), round(float(segment[1][0]), 6))
        for bars in above.containers
        for lines in bars.lines[2]
        for segment in lines.get_segments()
    }
    assert {(round(row.ratio_low, 6), round(row.ratio_high, 6)) for row in table} <= ends
    row = max(table, key=lambda each: each.sessions)
    steps = sorted(float(y) for line in below[0].lines if line.get_marker() in ("^", "s") for y in line.get_ydata())
    (one,) = [each for each in measured if each.manifest.id == row.ab]
    assert steps == sorted(session.step_wall_ms for session in one.sessions.values())
