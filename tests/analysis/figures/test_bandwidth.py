"""The achieved fraction over the bandwidth: points, the paper's bars, and shared ticks."""

import pytest

from analysis import paper
from analysis.figures import bandwidth, context, style
from analysis.tables import floor
from tests.support.frames import frame_of
from tests.support.records import cpu_record


def points(axes, colours):
    """Returns the (x, y) of each marker in these colours, sorted."""
    lines = [line for line in axes.lines if line.get_color() in colours and line.get_marker() not in ("None", "_")]
    return sorted((x, y) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True))


@pytest.mark.medium
def test_a_cpu_has_no_place_among_bandwidths():
    assert bandwidth.draw(floor.rows(frame_of([cpu_record()]))) is None
    (axes,) = context.draw(floor.rows(frame_of([cpu_record()]))).figure.axes
    assert axes.get_ylabel() == "r_floor_achievable"


@pytest.mark.medium
def test_the_fractions_over_bandwidth_are_the_rows_and_the_papers(floor_rows):
    left, right = bandwidth.draw(floor_rows).figure.axes
    valid = [row for row in floor_rows if row.valid]
    for axes, ratio in ((left, "r_floor_paper"), (right, "r_floor")):
        found = points(axes, style.SERIES)
        assert sorted(y for _, y in found) == sorted(row.value(ratio) for row in valid)
        assert all(x == pytest.approx(4800, rel=0.1) for x, _ in found)
    assert points(left, [style.PAPER]) == sorted((row.bandwidth_gbs, row.r_floor_paper) for row in paper.floor_rows())
    assert points(right, [style.PAPER]) == []
    bars = sorted(tuple(line.get_ydata()) for line in left.lines if len(line.get_xdata()) == 2 and line.get_color())
    ranges = sorted((row.low, row.high) for row in paper.range_rows())
    assert [bar for bar in bars if bar in ranges] == ranges


def test_gpus_of_nearly_one_bandwidth_share_a_tick():
    # log10(320 / 300) = 0.028 is below 0.07, log10(864 / 300) = 0.459 is not
    assert bandwidth.ticks({"l40s": 864.0, "t4": 320.0, "l4": 300.0}) == [
        (300.0, "l4\nt4\n300/320"),
        (864.0, "l40s\n864"),
    ]
