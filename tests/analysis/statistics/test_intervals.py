"""Intervals over sessions: arithmetic that can be followed by hand."""

import numpy as np
import pytest

from analysis.statistics import intervals


def test_five_sessions_have_an_interval_within_their_range():
    low, high, kind = intervals.session_interval([1.0, 1.1, 1.2, 1.3, 1.4, 1.5])
    assert kind == "ci95"
    assert 1.0 <= low < high <= 1.5


def test_the_interval_of_a_median_of_ten_lies_between_the_second_and_third_from_either_end():
    # from the 2nd to the 9th of 10: 97.85 %; from the 3rd to the 8th: 89.06 %; 95 % lies between
    low, high = intervals.median_interval(np.arange(10.0)[None])
    assert 1 < low[0] < 2
    assert 7 < high[0] < 8
    # below six not even the range reaches 95 %
    assert [float(end[0]) for end in intervals.median_interval(np.arange(5.0)[None])] == [0.0, 4.0]


@pytest.mark.parametrize(
    ("count", "depth", "inwards"),
    [
        (5, 1, 0.0),
        # from the 1st to the 6th: 1 - 2/64 = 0.96875; from the 2nd: 1 - 14/64 = 0.78125. The surplus of 0.01875 is a
        # share of 0.1, which is 5 * 0.1 / (1 + 4 * 0.1) of the way
        (6, 1, 0.5 / 1.4),
        # 1 - 22/1024 = 0.978516 and 1 - 112/1024 = 0.890625: a share of 0.324444; 8 * share / (2 + 6 * share)
        (10, 2, 8 * 0.324444 / (2 + 6 * 0.324444)),
    ],
)
def test_an_interval_covers_95_percent_to_the_last_digit(count, depth, inwards):
    assert intervals.interval_depth(count) == (depth, pytest.approx(inwards, rel=1e-4, abs=1e-12))


def test_a_ratio_to_a_value_turns_its_interval_round():
    # 12 / 4 = 3 of 4 in 3..6: from 12 / 6 to 12 / 3
    assert intervals.ratio_interval(3.0, 4.0, 3.0, 6.0) == (2.0, 4.0)


def test_an_interval_begins_at_five_sessions():
    assert intervals.session_interval([1.0, 2.0, 3.0, 4.0]) == (1.0, 4.0, "range")
    assert intervals.session_interval([5.0, 1.0, 2.0, 3.0, 4.0]) == (1.0, 5.0, "ci95")
    assert intervals.session_interval([2.0]) == (2.0, 2.0, "none")


@pytest.mark.medium
@pytest.mark.parametrize(("count", "freedom"), [(5, 3.7), (10, 5.5), (20, 6.6)])
def test_the_width_for_normal_sessions_varies_as_that_of_so_many_degrees_of_freedom(count, freedom):
    low, high = intervals.median_interval(np.random.default_rng(0).standard_normal((100_000, count)))
    width = high - low
    assert 1 / (2 * (width.std() / width.mean()) ** 2) == pytest.approx(freedom, abs=0.15)


def test_the_centre_is_the_median_of_what_is_there():
    assert intervals.centre([None, 9.0, 1.0, 2.0]) == 2.0
    assert intervals.centre([None, None]) is None
    assert intervals.centre([]) is None


@pytest.mark.parametrize(
    ("kind", "count", "label"),
    [("none", 1, None), ("range", 4, "range"), ("ci95", 5, "93.75 %"), ("ci95", 6, "95 %"), ("ci95", 20, "95 %")],
)
def test_the_label_says_what_an_interval_covers(kind, count, label):
    # the range of five misses the median when all five lie on one side of it: 2 · 2⁻⁵ = 6.25 %
    assert intervals.label(kind, count) == label


@pytest.mark.parametrize(("count", "low"), [(6, 0.357143), (10, 1.657657)])
def test_the_ends_are_as_far_from_the_lowest_as_from_the_highest(count, low):
    # of the sessions 0, 1, 2, …: the depth less 1, and the fraction of the way that is shown above
    ends = [float(end[0]) for end in intervals.median_interval(np.arange(float(count))[None])]
    assert ends == pytest.approx([low, count - 1 - low], abs=1e-5)


def test_two_sessions_have_a_range_and_groups_have_their_own():
    assert intervals.session_interval([3.0, 2.0]) == (2.0, 3.0, "range")
    assert intervals.group_intervals([[3.0, 2.0], [5.0, 7.0]]) == [(2.0, 3.0, "range"), (5.0, 7.0, "range")]
