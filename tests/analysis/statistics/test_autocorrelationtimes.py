"""Sums of short sequences, done by hand."""

import pytest

from analysis.statistics.autocorrelationtimes import automatic_window, initial_monotone


@pytest.mark.parametrize("estimator", [initial_monotone, automatic_window])
@pytest.mark.parametrize("covariances", [[], [4.0], [0.0, 1.0], [4.0, -1.0]])
def test_without_a_positive_autocovariance_the_time_is_one(estimator, covariances):
    assert estimator(covariances) == 1.0


@pytest.mark.parametrize(
    ("covariances", "time"),
    [
        ([4.0, 2.0, 1.0, -0.5, 1.0, -1.0, 9.0], 2.25),  # pairs 6, 0.5, 0: 2 * 6.5/4 - 1
        ([4.0, 0.0, 1.0, 0.0, 2.0, 1.0, -1.0], 2.0),  # pairs 4, 1, 3 (counts as 1), -1: 2 * 6/4 - 1
    ],
)
def test_no_pair_of_lags_counts_for_more_than_the_one_before(covariances, time):
    assert initial_monotone(covariances) == pytest.approx(time)


def test_the_window_is_five_times_the_time():
    # 1.5, 1.5, … : ten lags are at least five times 1.5, and so are eight
    assert automatic_window([4.0, 1.0, *[0.0] * 6, 1.0]) == pytest.approx(2.0)  # lag 7 < 7.5, lag 8 counts
    assert automatic_window([4.0, 1.0, *[0.0] * 7, 1.0]) == pytest.approx(1.5)  # lag 8 >= 7.5, lag 9 does not
