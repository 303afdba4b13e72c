"""The launch overhead that would make the paper's step, or why it cannot be told."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from analysis.statistics.linefit import fitted
from analysis.tables import _launchfit
from analysis.tables._launchfit import Point
from tests.support.claimcells import packed, sessions
from tests.support.frames import GROUP, frame_of
from tests.support.hostconditions import conditioned
from tests.support.records import example_record

CELL = replace(GROUP, gpu="h100", kernels_per_step=1500.0)


def points(*steps_of_launches):
    """Sessions of 1000 kernels, each on a host of its own, with this launch overhead in µs (so many ms of launches) and
    step in ms."""
    return [
        point(f"host {number}", launch_us, step_ms) for number, (launch_us, step_ms) in enumerate(steps_of_launches)
    ]


def point(host_id, launch_us, step_ms):
    return Point(step_ms, 1000.0, launch_us, host_id, "as it is", f"{launch_us}", "0" * 12)


def test_a_line_that_explains_the_steps_tells_the_launch_overhead():
    row = _launchfit.launch_row("all cells", points((4, 12.0), (5, 14.1), (6, 15.9), (7, 18.0)), CELL)
    assert row.told == "yes"
    assert (row.slope, row.intercept_ms) == (pytest.approx(1.98), pytest.approx(4.11))
    # the line reaches 14.828 at 5.413 ms of launches, of 1500 kernels
    assert row.launch_us == pytest.approx(1e3 * (14.828 - 4.11) / 1.98 / 1500)
    assert row.launch_us_low < row.launch_us < row.launch_us_high
    assert (row.sessions, row.hosts, row.conditions) == (4, 4, "as it is: 4")
    assert [*row.origins.values()] == [["4", "5", "6", "7"]]
    assert (row.launches_low_ms, row.launches_high_ms, row.paper_ms) == (4.0, 7.0, 14.828)


def test_a_host_is_one_point_however_many_sessions_it_has():
    sessions = {
        "a": [(4.0, 12.0), (6.0, 14.0)],  # 5 ms of launches, a step of 13 ms
        "b": [(6.0, 15.0), (6.0, 15.5), (6.0, 16.0)],  # 6 and 15.5
        "c": [(6.5, 16.0), (7.5, 17.0)],  # 7 and 16.5
        "d": [(8.0, 19.0)],
    }
    found = [point(host, *session) for host, own in sessions.items() for session in own]
    row = _launchfit.launch_row("all cells", found, CELL)
    # about (6.5, 16): Σx² = 5, Σxy = 4.5 + 0.25 + 0.25 + 4.5 = 9.5, Σy² = 9 + 0.25 + 0.25 + 9 = 18.5
    assert (row.slope, row.intercept_ms) == (pytest.approx(9.5 / 5), pytest.approx(16 - 1.9 * 6.5))
    # off the line by -0.15, 0.45, -0.45, 0.15: 0.45 in squares, at 4 hosts - 2 degrees of freedom
    assert row.residual_ms == pytest.approx((0.45 / 2) ** 0.5)
    assert row.r2 == pytest.approx(1 - 0.45 / 18.5)
    half = student.ppf(0.975, 2) * (0.45 / 2 / 5) ** 0.5
    assert half == pytest.approx(0.913, abs=5e-4)
    assert (row.slope_low, row.slope_high) == (pytest.approx(1.9 - half), pytest.approx(1.9 + half))
    assert (row.sessions, row.hosts, row.told) == (8, 4, "yes")
    assert (row.launches_low_ms, row.launches_high_ms) == (5.0, 8.0)
    # more of the same sessions tell nothing more
    again = _launchfit.launch_row("all cells", 5 * found, CELL)
    assert (again.slope_low, again.slope_high) == (pytest.approx(row.slope_low), pytest.approx(row.slope_high))
    assert again.launch_us_low == pytest.approx(row.launch_us_low)


SLOPE, AT_MS = 2.0, 6.5
FEW, MANY, COMMITTED = (5,) * 4, (5,) * 10, (18, 15, 3, 36, 15, 10, 3, 3, 6, 9)
"""Sessions of each host; the last are those behind the page on the paper."""
ALIKE, SCATTERED = (0.3, 1.0), (1.2, 5.0)
"""Standard deviations of a host's sessions in ms: of launches, and of what else a step takes. Hosts have 1 and 3."""


def simulated(sizes, scatter, generator):
    found = []
    for host, count in enumerate(sizes):
        launches, other = generator.normal(7, 1), generator.normal(10, 3)
        for own in generator.normal(launches, scatter[0], count):
            found.append(point(f"host {host}", own, other + SLOPE * own + generator.normal(0, scatter[1])))
    return found


def line_of(points):
    return fitted([each.launches_ms for each in points], [each.step_ms for each in points])


def covers(line):
    """Does the interval of the slope contain the true one, and that of the launches, if it has ends?"""
    reached = line.reaches(10 + SLOPE * AT_MS)
    return line.low <= SLOPE <= line.high, reached is None or reached[1] <= AT_MS <= reached[2]


@pytest.mark.medium
@pytest.mark.parametrize(
    ("sizes", "scatter", "slope_at_least", "by_session_at_most"),
    [
        (FEW, ALIKE, 0.95, 0.75),
        (MANY, ALIKE, 0.95, 0.75),
        (COMMITTED, ALIKE, 0.95, 0.5),
        (COMMITTED, SCATTERED, 0.94, 0.85),
    ],
)
def test_the_intervals_cover_the_truth_though_sessions_of_a_host_go_together(
    sizes, scatter, slope_at_least, by_session_at_most
):
    generator, trials = np.random.default_rng(28), 600
    found = [simulated(sizes, scatter, generator) for _ in range(trials)]
    slope, launches = np.mean([covers(line_of(_launchfit.host_means(sessions))) for sessions in found], axis=0)
    by_session = np.mean([covers(line_of(sessions)) for sessions in found], axis=0)
    error = (0.95 * 0.05 / trials) ** 0.5
    assert slope >= slope_at_least - 2 * error
    assert launches >= 0.95
    assert max(by_session) < by_session_at_most


@pytest.mark.parametrize(
    ("found", "cell", "why"),
    [
        ([], CELL, "0 hosts of at least 3; sessions of one host share its launch overhead"),
        (points((4, 12.0), (5, 14.0)), CELL, "2 hosts of at least 3; sessions of one host share its launch overhead"),
        (
            [point("a", 4, 12.0), point("a", 5, 14.1), point("b", 6, 15.9), point("b", 7, 18.0)],
            CELL,
            "2 hosts of at least 3; sessions of one host share its launch overhead",
        ),
        (points((4, 12.0), (4, 14.1), (4, 15.9)), CELL, "all hosts have the same launches"),
        (points((4, 12.0), (5, 14.1), (6, 15.9)), None, "no eager cell of ours in the place of the paper's A/B"),
        (
            points((4, 12.0), (5, 18.0), (6, 11.0), (7, 15.0)),
            CELL,
            "the slope's interval, -7.23 to 7.63, does not lie above 0",
        ),
        (
            points((4, 20.0), (5, 18.1), (6, 15.9), (7, 14.0)),
            CELL,
            "the slope's interval, -2.20 to -1.84, does not lie above 0",
        ),
        (points((4, 32.0), (5, 34.1), (6, 35.9), (7, 38.0)), CELL, "the line reaches 14.828 ms at launches of "),
    ],
)
def test_it_cannot_be_told_otherwise_and_the_row_says_why(found, cell, why):
    row = _launchfit.launch_row("all cells", found, cell)
    assert row.told.startswith(f"cannot be told: {why}")
    assert (row.launch_us, row.launch_us_low, row.launch_us_high) == (None, None, None)


def test_a_line_that_explains_little_of_many_hosts_tells_nothing():
    found = points(*((4 + number % 40 / 10, 12 + number % 40 / 20 + 3 * (number % 2)) for number in range(400)))
    row = _launchfit.launch_row("all cells", found, CELL)
    assert row.slope_low > 0
    assert row.r2 < 0.5
    assert row.told.startswith("cannot be told: the line explains 0.")


def test_a_condition_of_the_host_is_counted_apart():
    found = [point("a", 4, 12.0), point("a", 5, 14.1), replace(point(None, 6, 15.9), condition="pinned:1")]
    row = _launchfit.launch_row("all cells", [*found, point(None, 7, 18.0)], CELL)
    assert (row.conditions, row.hosts) == ("as it is: 3, pinned:1: 1", 2)


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
