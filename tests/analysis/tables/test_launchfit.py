"""The launch overhead that would make the paper's step, or why it cannot be told."""

from dataclasses import replace

import pytest

from analysis.tables import _launchfit
from analysis.tables._launchfit import Point
from tests.support.claimcells import packed, sessions
from tests.support.frames import GROUP, frame_of
from tests.support.hostconditions import conditioned
from tests.support.records import example_record

CELL = replace(GROUP, gpu="h100", kernels_per_step=1500.0)


def points(*steps_of_launches):
    """Sessions of 1000 kernels with this launch overhead in µs (so many ms of launches) and step in ms."""
    return [
        Point(step_ms, 1000.0, launch_us, "host", "as it is", f"{launch_us}", "0" * 12)
        for launch_us, step_ms in steps_of_launches
    ]


def test_a_line_that_explains_the_steps_tells_the_launch_overhead():
    row = _launchfit.launch_row("all cells", points((4, 12.0), (5, 14.1), (6, 15.9), (7, 18.0)), CELL)
    assert row.told == "yes"
    assert (row.slope, row.intercept_ms) == (pytest.approx(1.98), pytest.approx(4.11))
    # the line reaches 14.828 at 5.413 ms of launches, of 1500 kernels
    assert row.launch_us == pytest.approx(1e3 * (14.828 - 4.11) / 1.98 / 1500)
    assert row.launch_us_low < row.launch_us < row.launch_us_high
    assert (row.sessions, row.hosts, row.conditions) == (4, 1, "as it is: 4")
    assert [*row.origins.values()] == [["4", "5", "6", "7"]]
    assert (row.launches_low_ms, row.launches_high_ms, row.paper_ms) == (4.0, 7.0, 14.828)


@pytest.mark.parametrize(
    ("found", "cell", "why"),
    [
        (points((4, 12.0), (5, 14.0)), CELL, "fewer than 3 sessions"),
        (points((4, 12.0), (5, 14.1), (6, 15.9)), None, "no eager cell of ours in the place of the paper's A/B"),
        (points((4, 12.0), (5, 18.0), (6, 11.0), (7, 15.0)), CELL, "the slope's interval, "),
        (points((4, 20.0), (5, 18.1), (6, 15.9), (7, 14.0)), CELL, "the slope's interval, "),
        (points((4, 32.0), (5, 34.1), (6, 35.9), (7, 38.0)), CELL, "the line reaches 14.828 ms at launches of "),
    ],
)
def test_it_cannot_be_told_otherwise_and_the_row_says_why(found, cell, why):
    row = _launchfit.launch_row("all cells", found, cell)
    assert row.told.startswith(f"cannot be told: {why}")
    assert (row.launch_us, row.launch_us_low, row.launch_us_high) == (None, None, None)


def test_a_line_that_explains_little_of_many_sessions_tells_nothing():
    found = points(*((4 + number % 40 / 10, 12 + number % 40 / 20 + 3 * (number % 2)) for number in range(400)))
    row = _launchfit.launch_row("all cells", found, CELL)
    assert row.slope_low > 0
    assert row.r2 < 0.5
    assert row.told.startswith("cannot be told: the line explains 0.")


def test_a_condition_of_the_host_is_counted_apart():
    found = [*points((4, 12.0), (5, 14.1)), replace(points((6, 15.9))[0], condition="pinned:1", host_id=None)]
    row = _launchfit.launch_row("all cells", found, CELL)
    assert (row.conditions, row.hosts) == ("as it is: 2, pinned:1: 1", 2)


@pytest.mark.medium
def test_the_points_are_eager_unquantised_sessions_that_the_host_paces():
    eager = list(sessions("h200", [36.0, 5.0]))  # 4.87 ms of kernels: 5 ms is not the host's pace
    growing = list(sessions("h100", [36.0], cache="dynamic"))
    other_protocol = example_record(protocol={"name": "custom", "warmup": 1, "steps": 3})
    frame = frame_of([*eager, *growing, *packed([36.0]), other_protocol])
    found = _launchfit.points(frame)
    assert len(found) == 2
    first = found[0]
    assert first.launches_ms == pytest.approx(first.kernels * first.launch_us / 1e3)
    assert {point.condition for point in found} == {"as it is"}
    revisits = frame.sessions["step_wall_revisit_ms"].drop_nulls().to_list()
    assert [point.step_ms for point in found if point.step_ms in revisits] == revisits


@pytest.mark.medium
def test_sessions_under_a_condition_of_the_host_are_points_too():
    usual, busy = sessions("h200", [36.0, 40.0])
    frame = frame_of([usual, conditioned("busy:8", busy)])
    assert (len(frame.sessions), len(frame.conditioned)) == (1, 1)
    found = _launchfit.points(frame)
    assert [(point.condition, point.step_ms) for point in found] == [("as it is", 36.0), ("busy:8", 40.0)]
    assert _launchfit.launch_row("all cells", found, None).conditions == "as it is: 1, busy:8: 1"
    assert _launchfit.points(frame.where(gpu="h200")) == found
    assert _launchfit.points(frame.where(gpu="h100")) == []
    assert _launchfit.points(frame.where(study="none")) == []


def test_the_cell_in_the_papers_place_has_a_line_of_its_own():
    found = [*points((4, 12.0), (5, 14.1), (6, 15.9)), replace(points((9, 70.0))[0], cell_key="1" * 12)]
    own, every = _launchfit.launch_rows(found, CELL)
    assert (own.scope, own.sessions, every.scope, every.sessions) == (
        "h100 qwen2.5-7b 2048, static cache",
        3,
        "all cells",
        4,
    )
    assert own.r2 > 0.99 > every.r2
    assert [row.scope for row in _launchfit.launch_rows(found, None)] == ["all cells"]
