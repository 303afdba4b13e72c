"""The tail of a session's steps, against distributions that are known in closed form."""

import random
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from runner.record import tails


@pytest.mark.parametrize(
    ("missed", "n_eff"), [(0, 300), (0, 1), (0, 0.3), (3, 300), (0.4, 20.5), (2999, 3000), (30, 3000.7), (5, 1e6)]
)
def test_the_bound_is_a_quantile_of_the_beta_distribution(missed, n_eff):
    assert tails.upper_bound(missed, n_eff) == pytest.approx(beta.ppf(0.95, missed + 1, n_eff - missed), rel=1e-9)


@pytest.mark.parametrize(("missed", "n_eff"), [(300, 300), (1, 1), (1.5, 1.2), (0, 0)])
def test_where_everything_missed_nothing_is_bounded(missed, n_eff):
    assert tails.upper_bound(missed, n_eff) == 1.0


def test_none_missed_bounds_the_probability_by_three_over_n():
    assert tails.upper_bound(0, 3000) == pytest.approx(1 - 0.05 ** (1 / 3000))
    assert tails.upper_bound(0, 3000) == pytest.approx(3 / 3000, rel=0.01)


@pytest.mark.medium
@given(st.floats(0, 50), st.floats(0, 50), st.floats(1, 5000))
def test_more_misses_and_fewer_steps_raise_the_bound(missed, more, n_eff):
    found = tails.upper_bound(missed, n_eff)
    assert found <= tails.upper_bound(missed + more, n_eff) + 1e-12
    assert found >= tails.upper_bound(missed, n_eff + more) - 1e-12


@pytest.mark.parametrize("windows", [[], [[]], [[1.0]], [[1.0, 2.0]], [[1.0] * 300], [[1.0] * 10] * 10])
def test_a_sample_that_tells_no_autocorrelation_counts_in_full(windows):
    n = sum(map(len, windows))
    assert tails.effective(windows) == tails.Effective(n, 1.0, n)


def test_independent_steps_count_almost_in_full_and_bursts_by_their_number():
    generator = random.Random(1)
    steps = [generator.random() for _ in range(3000)]
    assert tails.effective([steps]).n_eff > 2500
    held = [step for step in steps[:300] for _ in range(10)]
    assert tails.effective([held]).tau == pytest.approx(10, rel=0.2)


def test_equally_slow_steps_count_as_the_slowest_if_they_are_more_than_a_tenth():
    # three of five steps are as slow as p90: none is slower
    held = [step for step in [1.0, 2.0, 2.0, 1.0, 2.0] * 30 for _ in range(10)]
    assert tails.effective([held]).tau > 5


def test_misses_that_come_in_bursts_count_by_their_number_even_if_they_are_too_rare_for_p90():
    generator = random.Random(1)
    steps = [generator.random() + 9 * (step % 1000 < 10) for step in range(3000)]
    assert tails.effective([steps]).tau < 3
    found = tails.miss([steps], 5.0)
    assert found is not None
    assert (found.missed, found.chunks) == (30, 3000)
    assert found.tau == pytest.approx(10, rel=0.1)
    assert found.n_eff == 3000 / found.tau
    assert found.upper == tails.upper_bound(30 / found.tau, found.n_eff)


def test_misses_are_counted_by_chunks_within_windows():
    windows = [[1.0, 1.0, 1.0, 3.0, 5.0], [1.0, 1.0, 9.0], [9.0]]
    # 1 + 1, 1 + 3 and 1 + 1; the last step of a window of odd length is not used
    found = tails.miss(windows, 3.0, tokens=2)
    assert found is not None
    assert (found.missed, found.chunks, found.probability) == (1, 3, 1 / 3)
    assert found.upper == tails.upper_bound(1, 3)
    assert tails.miss(windows, 3.0, tokens=6) is None
    assert tails.miss([], 3.0) is None


def test_a_step_at_the_deadline_meets_it():
    assert tails.miss([[3.0, 3.0]], 3.0) == tails.Miss(0, 2, 0.0, tails.upper_bound(0, 2), 1.0, 2.0)


@pytest.mark.parametrize(
    ("windows", "missed", "upper"),
    [
        ([[1.0]], 0, 0.95),  # 1 - 0.05^(1/1)
        ([[3.0]], 1, 1.0),
        ([[3.0] * 300], 300, 1.0),
        ([[3.0, 4.0, 5.0] * 100], 300, 1.0),
        ([[1.0], [1.0]], 0, 1 - 0.05 ** (1 / 2)),
        ([[1.0, 3.0]], 1, 0.95**0.5),  # I_p(2, 1) = p^2
    ],
)
def test_few_steps_and_steps_that_are_all_late_have_a_bound(windows, missed, upper):
    found = tails.miss(windows, 2.0)
    assert found is not None
    assert (found.missed, found.upper) == (missed, pytest.approx(upper))


@pytest.mark.parametrize(("percent", "fewest"), [(90, 29), (95, 59), (99, 299)])
def test_a_percentile_needs_its_sample(percent, fewest):
    # one slowest step in ten or fewer, spread evenly: tau is 1
    steps = [float(step % 10) for step in range(fewest)]
    assert tails.effective([steps]).tau == 1.0
    assert tails.percentile_bound([steps[:-1]], percent) is None
    assert tails.percentile_bound([steps], percent) == 9.0


def test_a_percentile_is_the_smallest_step_that_few_enough_exceed():
    steps = [float(step * 37 % 100) for step in range(100)]
    # 4 of 100: I_0.1(5, 96) = 0.976; 5 of 100: 0.942
    assert tails.percentile_bound([steps], 90) == 95.0


def test_a_percentile_is_bounded_by_what_its_misses_are_worth():
    """30 of 3000 steps are slow, in three bursts of ten. As independent steps they would bound p98 by a fast step."""
    generator = random.Random(1)
    steps = [generator.random() + 9 * (step % 1000 < 10) for step in range(3000)]
    assert tails.upper_bound(30, 3000) < 0.02
    bound = tails.percentile_bound([steps], 98)
    assert bound is not None
    assert bound > 9


@pytest.mark.parametrize("windows", [[], [[]], [[1.0] * 28]])
def test_a_sample_too_small_bounds_no_percentile(windows):
    assert tails.percentile_bound(windows, 90) is None


@pytest.mark.medium
@given(st.lists(st.lists(st.integers(1, 20).map(float), max_size=60), max_size=4), st.sampled_from([50, 90, 99]))
def test_a_percentile_is_the_shortest_deadline_that_its_own_bound_permits(windows, percent):
    bound = tails.percentile_bound(windows, percent)
    deadlines = sorted({step for window in windows for step in window}, reverse=True)
    bounds = (tails.miss(windows, step).upper for step in deadlines)
    permitted = takewhile(lambda pair: pair[1] <= 1 - percent / 100, zip(deadlines, bounds, strict=True))
    assert bound == min((step for step, _ in permitted), default=None)
