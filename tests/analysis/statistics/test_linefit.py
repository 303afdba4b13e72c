"""Lines of least squares, and where they reach a value."""

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.linefit import fitted

X = [4.0, 5.0, 6.0, 7.0, 8.0]
Y = [11.0, 13.5, 14.5, 18.0, 19.0]


def test_slope_interval_and_share_are_those_of_scipy():
    line, expected = fitted(X, Y), stats.linregress(X, Y)
    assert line.count == 5
    assert (line.slope, line.intercept) == (pytest.approx(expected.slope), pytest.approx(expected.intercept))
    assert line.r2 == pytest.approx(expected.rvalue**2)
    half = stats.t.ppf(0.975, 3) * expected.stderr
    assert (line.low, line.high) == (pytest.approx(line.slope - half), pytest.approx(line.slope + half))
    away = [y - line.intercept - line.slope * x for x, y in zip(X, Y, strict=True)]
    assert line.residual == pytest.approx((sum(each**2 for each in away) / 3) ** 0.5)


def test_points_on_a_line_leave_no_doubt():
    line = fitted([1.0, 2.0, 3.0], [5.0, 7.0, 9.0])
    assert (line.slope, line.intercept, line.r2) == (pytest.approx(2.0), pytest.approx(3.0), pytest.approx(1.0))
    assert line.reaches(8.0) == (pytest.approx(2.5), pytest.approx(2.5), pytest.approx(2.5))


def test_the_ends_of_the_crossing_are_where_the_lines_band_reaches_the_value():
    line = fitted(X, Y)
    x, low, high = line.reaches(15.0)
    assert low < x < high
    assert line.intercept + line.slope * x == pytest.approx(15.0)
    for end in (low, high):
        band = (line.slack * (1 / line.count + (end - line.mean_x) ** 2 / line.spread)) ** 0.5
        assert abs(line.intercept + line.slope * end - 15.0) == pytest.approx(band)


def test_a_slope_that_may_be_zero_reaches_a_value_anywhere():
    line = fitted(X, [3.0, 1.0, 4.0, 1.0, 5.0])
    assert line.low < 0 < line.high
    assert line.reaches(2.0) is None


def test_a_falling_line_has_its_ends_in_order():
    line = fitted(X, [19.0, 18.0, 14.5, 13.5, 11.0])
    x, low, high = line.reaches(15.0)
    assert low < x < high


def test_the_interval_covers_the_true_crossing_in_95_of_100_samples():
    generator = np.random.default_rng(7)
    x = np.linspace(5, 9, 20)
    lines = [fitted(x, 2 * x + 3 + generator.normal(0, 1, 20)) for _ in range(400)]
    covered = [low <= 6 <= high for line in lines for _, low, high in [line.reaches(15.0)]]
    assert 0.92 <= sum(covered) / len(covered) <= 0.98


def test_too_few_points_or_a_single_x_have_no_line_and_a_flat_one_explains_nothing():
    assert fitted([1.0, 2.0], [1.0, 2.0]) is None
    assert fitted([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    assert fitted([], []) is None
    flat = fitted(X, [2.0] * 5)
    assert (flat.slope, flat.r2, flat.residual) == (0.0, 0.0, 0.0)
    assert flat.reaches(2.0) is None
