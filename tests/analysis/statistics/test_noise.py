"""The noise of sessions: shapes, their scale, and the groups that they are fitted to."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm, t

from analysis.statistics import coverage, noise
from analysis.statistics.noise import NORMAL, SPEEDS, TAILS, SkewedT, TwoSpeeds
from tests.support.frames import frame_of
from tests.support.noises import SHAPES, SOURCES
from tests.support.records import example_record

ROOT = Path(__file__).parents[3]


@pytest.mark.medium
def test_noise_is_centred_at_its_median_and_scaled_to_what_ten_sessions_show():
    for source in SOURCES.values():
        drawn = source.draw(np.random.default_rng(7), (40_000, 10), 0.02)
        assert np.median(drawn) == pytest.approx(0, abs=2e-4)
        assert np.median(drawn.std(axis=1, ddof=1)) == pytest.approx(0.02, rel=0.02)
        if source.shape != SHAPES[coverage.TAIL]:  # of whose heavy tail a sample's mean says little
            assert drawn.mean() == pytest.approx(0.02 * source.mean, abs=3e-4)
    assert SOURCES[coverage.SPEEDS].mean > 0


@pytest.mark.medium
def test_noise_is_fitted_to_groups_of_three_valid_sessions_of_one_host_that_differ():
    def sessions(*steps_ms, host="one", **changes):
        made = [example_record(step_ms=step_ms, **changes) for step_ms in steps_ms]
        for number, each in enumerate(made):
            each["session"]["id"] = f"{host}-{changes.get('cell', {})}-{number}"
            each["keys"]["host_id"] = host
        return made

    records = [
        *sessions(30.0, 31.0, 33.0),
        *sessions(20.0, 22.0, 21.0, host="two"),
        *sessions(10.0, 11.0, host="three"),
        *sessions(15.0, 15.0, 15.0, host="four"),
        *sessions(40.0, 41.0, 42.0, cell={"ctx": 4096}),
    ]
    records[-1]["valid"] = False
    found = noise.session_groups(frame_of(records))
    assert sorted(sorted(np.exp(values).round(6).tolist()) for values in found) == [[20, 21, 22], [30, 31, 33]]


@pytest.mark.whole
@pytest.mark.slow
def test_the_noise_that_is_fitted_is_found_again():
    generator = np.random.default_rng(0)
    shape = SkewedT(2.8, 4.0)
    groups = [1 + 0.1 * shape.draw(generator, (10,)) for _ in range(30)]
    found = noise.fit(groups, TAILS)
    assert 1.7 <= found.skew <= 4.5
    assert noise.fit([np.random.default_rng(1).standard_normal(10) for _ in range(30)], TAILS).skew <= 1.3


@pytest.mark.whole
@pytest.mark.slow
def test_sessions_at_two_speeds_are_found_again():
    generator = np.random.default_rng(0)
    shape = TwoSpeeds(0.2, 7.0)
    groups = [1 + 0.1 * shape.draw(generator, (10,)) for _ in range(30)]
    assert noise.fit(groups, SPEEDS) == shape
    assert noise.log_likelihood(shape, groups) > noise.log_likelihood(noise.fit(groups, TAILS), groups)


@pytest.mark.medium
@pytest.mark.parametrize("shape", [NORMAL, SkewedT(3.5, 2.0), TwoSpeeds(0.2, 5.0)])
def test_a_density_is_one_and_that_of_what_is_drawn(shape):
    places = np.linspace(-400, 400, 800_001)
    density = np.exp(shape.log_density(places))
    assert np.trapezoid(density, places) == pytest.approx(1, abs=2e-3)
    drawn = shape.draw(np.random.default_rng(0), (100_000,))
    below = np.trapezoid(density[places <= 1], places[places <= 1])
    assert np.mean(drawn <= 1) == pytest.approx(below, abs=6e-3)


def test_normal_noise_has_the_normal_density():
    assert np.exp(NORMAL.log_density(np.array([-1.0, 0.0, 2.0]))) == pytest.approx(
        [0.24197, 0.39894, 0.05399], abs=1e-5
    )


def test_the_shapes_that_are_tried_are_on_the_page():
    page = " ".join((ROOT / "docs" / "statistics.md").read_text().split())

    def listed(values):
        *others, last = (f"{value:g}" for value in values)
        return f"{', '.join(others)} and {last}"

    assert f"a skew of {listed(noise.SKEWS)}, with {listed(noise.FREEDOMS)} degrees of freedom" in page
    assert f"a share of {listed(100 * share for share in noise.SHARES)} %" in page
    assert f"a distance of {listed(noise.DISTANCES)} standard deviations" in page


def test_the_likelihood_is_integrated_over_location_and_scale():
    # of n normal values with the sum of squares S: Γ((n-1)/2) / (2 √n (πS)^((n-1)/2)), on a grid of 2/15 and 1/8
    values = np.linspace(-1, 1, 10)
    half, squares = 9 / 2, float(np.sum(values**2))
    known = math.lgamma(half) - math.log(2 * math.sqrt(10)) - half * math.log(math.pi * squares)
    found = noise.log_likelihood(NORMAL, [7 + 3 * values])  # place and scale of the group change nothing
    assert found + math.log(2 / 15 / 8) == pytest.approx(known, abs=2e-3)


@pytest.mark.medium
def test_the_scale_is_that_of_a_hundred_thousand_groups_of_ten():
    # the median of chi-square at 9 degrees of freedom is 8.3428, and the standard error is 0.1 %
    source = noise.standardised(NORMAL)
    assert source.scale == pytest.approx((8.3428 / 9) ** 0.5, abs=3e-3)
    drawn = NORMAL.draw(np.random.default_rng(0), (100_000, 10))
    assert source.middle == float(np.median(drawn))
    assert source.scale == float(np.median(drawn.std(axis=1, ddof=1)))
    assert source.mean == float(drawn.mean() - source.middle) / source.scale


def test_skew_widens_the_right_and_narrows_the_left():
    """|standard normal| has the median 0.6745: times the skew of 2 on the right, by it on the left."""
    drawn = SkewedT(2.0, math.inf).draw(np.random.default_rng(1), (200_000,))
    assert np.median(drawn[drawn > 0]) == pytest.approx(0.6745 * 2, rel=0.01)
    assert np.median(-drawn[drawn < 0]) == pytest.approx(0.6745 / 2, rel=0.02)
    assert np.mean(drawn > 0) == pytest.approx(4 / 5, abs=4e-3)  # skew² / (1 + skew²)


@pytest.mark.parametrize("freedom", [1.5, 4.0, 10.0, math.inf])
def test_the_density_of_a_tail_that_is_not_skewed_is_students(freedom):
    values = np.linspace(-30, 30, 301)
    expected = norm.logpdf(values) if math.isinf(freedom) else t.logpdf(values, freedom)
    assert SkewedT(1.0, freedom).log_density(values) == pytest.approx(expected, rel=1e-12)


def test_the_density_of_two_speeds_is_that_of_two_normal_distributions():
    values = np.linspace(-5, 12, 171)
    expected = 0.8 * norm.pdf(values) + 0.2 * norm.pdf(values, 7.0)
    assert np.exp(TwoSpeeds(0.2, 7.0).log_density(values)) == pytest.approx(expected, rel=1e-12)
