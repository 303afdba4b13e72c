"""The achieved fraction against the bandwidth: one panel with ours and the paper's, side by side."""

from dataclasses import replace
from itertools import pairwise

import pytest

from analysis import paper, protocoltitles
from analysis.figures import bandwidth, budget, style
from analysis.tables import budget as budget_table
from analysis.tables import floor
from tests.support.frames import frame_of
from tests.support.records import cpu_record


def points(axes, colours):
    """Returns the (x, y) of each marker in these colours, sorted."""
    lines = [line for line in axes.lines if line.get_color() in colours and line.get_marker() != "None"]
    return sorted((x, y) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True))


@pytest.mark.medium
def test_a_cpu_has_no_place_among_bandwidths():
    assert bandwidth.draw(floor.rows(frame_of([cpu_record()]))) is None
    assert budget.draw(budget_table.rows(frame_of([cpu_record()]))) is not None


@pytest.mark.medium
def test_one_panel_has_the_rows_beside_the_papers_points(floor_rows):
    (axes,) = bandwidth.draw(floor_rows).figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "l4\n300",
        "l40s\n864",
        "a100\n2039",
        "h100\n3350",
        "h200\n4800",
    ]
    ours = points(axes, style.SERIES)
    plain = [row for row in protocoltitles.comparable(floor_rows) if row.valid and row.quant == "bf16"]
    assert sorted(y for _, y in ours) == sorted(row.r_floor_paper for row in plain)
    assert all(round(x) == 4 for x, _ in ours)  # the column of the h200
    papers = points(axes, [style.PAPER])
    columns = ["l4", "l40s", "a100", "h100", "h200"]
    assert sorted((columns[round(x)], y) for x, y in papers) == sorted(
        (row.gpu, row.r_floor_paper) for row in paper.floor_rows()
    )


@pytest.mark.medium
def test_the_papers_ranges_are_those_that_it_states(floor_rows):
    (axes,) = bandwidth.draw(floor_rows).figure.axes
    lines = [line for line in axes.lines if line.get_color() == style.PAPER and line.get_marker() == "None"]
    ranges = sorted(tuple(line.get_ydata()) for line in lines if len(set(line.get_xdata())) == 1)
    medians = sorted(line.get_ydata()[0] for line in lines if len(set(line.get_xdata())) == 2)
    assert ranges == sorted((row.low, row.high) for row in paper.range_rows())
    assert medians == sorted(row.median for row in paper.range_rows())


def test_no_two_series_of_a_gpu_have_the_same_position():
    one = bandwidth.Fractions([0.5], 0.5, 0.5, 0.5)
    series = {name: {"h100": one, "h200": one} for name in ("a", "b", "c")}
    placed = bandwidth.slots(["h100", "h200"], {**series, "d": {"h200": one}})
    # three series: 0.2 apart around 0; four: 0.2 apart around 1
    assert [[*columns] for columns in placed.values()] == [
        pytest.approx([-0.2, 0.7]),
        pytest.approx([0.0, 0.9]),
        pytest.approx([0.2, 1.1]),
        pytest.approx([1.3]),
    ]


@pytest.mark.medium
def test_markers_of_two_series_are_apart(floor_rows):
    other = [replace(row, runtime=f"runtime-{number}") for row in floor_rows for number in range(4)]
    (axes,) = bandwidth.draw(other).figure.axes
    spans = [
        (min(line.get_xdata()), max(line.get_xdata()))
        for line in axes.lines
        if line.get_marker() not in ("None", style.PAPER_MARKER)
    ]
    assert len(spans) == bandwidth.SERIES
    assert all(high < low for (_, high), (low, _) in pairwise(sorted(spans)))


def test_the_caption_states_the_most_points_only_if_a_series_has_more(floor_rows):
    assert "points." not in bandwidth.draw(floor_rows).caption.split("The dashed line is the floor.")[1]
    (row, *_) = [row for row in floor_rows if row.valid and row.quant == "bf16"]
    many = [row] * (bandwidth.POINTS + 1)
    assert (
        f"with more than {bandwidth.POINTS} cells on a GPU has {bandwidth.POINTS} points."
        in bandwidth.draw(many).caption
    )
