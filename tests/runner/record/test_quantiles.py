"""Tails are stated only where the sample carries them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.record import quantiles


@pytest.mark.parametrize(("percent", "fewest"), [(90, 29), (95, 59), (99, 299)])
def test_a_tail_needs_its_sample(percent, fewest):
    values = [float(i) for i in range(fewest)]
    assert quantiles.tail_bound(values[:-1], percent) is None
    assert quantiles.tail_bound(values, percent) == max(values)  # none may exceed: (p/100)^n <= 0.05


def test_p90_of_a_hundred_is_not_the_maximum():
    # P[Binomial(100, 0.9) <= 94] = 0.942, P[<= 95] = 0.976: the 96th smallest, which is index 95
    assert quantiles.tail_bound([float(i) for i in range(100)], 90) == 95.0


def test_long_samples_do_not_overflow():
    assert quantiles.tail_bound([1.0] * 5000, 99) == 1.0


def test_a_bound_is_of_the_sorted_steps():
    values = [float(i) for i in range(100)]
    assert quantiles.tail_bound(values[::-1], 90) == 95.0
    # p95 of 100: P[X <= 97] = 0.882, P[<= 98] = 0.963: index 98; p90 at 90 % confidence would be index 94
    assert quantiles.tail_bound(values, 95) == 98.0


def test_drift_compares_thirds():
    assert quantiles.drift([1.0] * 10 + [1.05] * 10 + [1.1] * 10) == pytest.approx(0.1)


@pytest.mark.medium
@given(st.lists(st.floats(0.1, 1e3), min_size=29, max_size=80))
def test_a_bound_is_an_observed_value_not_below_the_median(values):
    bound = quantiles.tail_bound(values, 90)
    assert bound in values
    assert bound >= sorted(values)[len(values) // 2]


@pytest.mark.parametrize(
    ("values", "drift"),
    [
        ([2.0], 0.0),
        ([1.0, 1.1], 0.1),  # fewer than three: the first and the last
        ([1.0, 5.0, 1.1], 0.1),
        ([1.0, 5.0, 5.0, 5.0, 1.1], 0.1),  # 5 // 3 = 1
        ([1.0, 2.0, 5.0, 5.0, 2.0, 4.0], 1.0),  # medians 1.5 and 3
    ],
)
def test_drift_of_few_steps(values, drift):
    assert quantiles.drift(values) == pytest.approx(drift)


def test_jitter_is_the_mean_difference_of_neighbours_in_a_window():
    # |2 - 1|, |5 - 2| and |4 - 4|: 4 / 3; from window to window there is no pair
    assert quantiles.jitter([[1.0, 2.0, 5.0], [4.0, 4.0]]) == pytest.approx(4 / 3)
    assert quantiles.jitter([[1.0], [9.0]]) == 0.0
