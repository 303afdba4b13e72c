"""Is a 95 % interval one? Simulated A/Bs with a known ratio, and the committed figures behind docs/statistics.md."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from analysis import groups
from analysis.sources.records import Folder
from analysis.statistics import coverage, noise
from analysis.statistics.coverage import RATIO, Setting
from analysis.statistics.noise import NORMAL, SPEEDS, TAILS, SkewedT, TwoSpeeds

ROOT = Path(__file__).parents[3]
COMMITTED = json.loads((ROOT / "docs" / "coverage.json").read_text())
SIMULATIONS = 10_000  # a standard error of 0.2 percent points


def committed(family, shape):
    told = COMMITTED["noise"]["fitted"][family]
    return shape(**{name: value for name, value in told.items() if name != "log_likelihood_over_normal"})


SHAPES = {coverage.TAIL: committed(coverage.TAIL, SkewedT), coverage.SPEEDS: committed(coverage.SPEEDS, TwoSpeeds)}
SOURCES = {name: noise.of_shape(shape) for name, shape in {"normal": NORMAL, **SHAPES}.items()}


@pytest.mark.parametrize("sessions_", coverage.SESSIONS)
@pytest.mark.parametrize("variations", coverage.VARIATIONS)
@pytest.mark.parametrize("name", SOURCES)
def test_the_interval_holds_the_true_ratio_as_often_as_it_says(name, variations, sessions_):
    arms = coverage.simulate(Setting(name, *variations, sessions_), SOURCES[name], RATIO, SIMULATIONS, seed=1)
    assert 0.93 <= coverage.share_covered(arms, RATIO) <= 0.97


@pytest.mark.parametrize(("sessions_", "hosts"), coverage.HOSTS)
@pytest.mark.parametrize("name", SOURCES)
def test_over_several_hosts_it_is_at_least_as_sure(name, sessions_, hosts):
    arms = coverage.simulate(Setting(name, 0.2, 0.0015, sessions_, hosts), SOURCES[name], RATIO, SIMULATIONS)
    assert len(arms) == hosts
    assert coverage.share_covered(arms, RATIO) >= 0.945


@pytest.mark.parametrize("name", SOURCES)
def test_the_verdict_has_its_power(name):
    """What docs/statistics.md says, to three standard errors of both simulations; the errors are of a share."""
    for row in (row for row in COMMITTED["power"] if row["noise"] == name):
        found = coverage.power(name, SOURCES[name], row["ratio"], SIMULATIONS)
        for verdict in ("faster", "slower", "same", "ambiguous"):
            share = row[verdict]
            error = math.sqrt(share * (1 - share) * (1 / SIMULATIONS + 1 / COMMITTED["simulations"]))
            assert getattr(found, verdict) == pytest.approx(share, abs=3 * error + 5e-4), (row["ratio"], verdict)


def test_what_the_committed_power_promises():
    """An effect of 3 % is found in 99 of 100 A/Bs, and no effect is taken for one in none."""
    for row in COMMITTED["power"]:
        found = {1.0: row["same"], 1.03: row["faster"]}.get(row["ratio"], row["slower"])
        assert found >= (0.8 if row["ratio"] == 1.0 else 0.99)
        assert row["ratio"] != 1.0 or row["faster"] + row["slower"] <= 0.001


def test_an_interval_that_is_too_narrow_would_be_found_out():
    """Welch's t, on sessions that scatter to the right in one arm only."""
    source = SOURCES[coverage.TAIL]
    arms = coverage.simulate(Setting(coverage.TAIL, 0.2, 0.0015, 10), source, RATIO, SIMULATIONS)
    of_means = RATIO * math.exp(source.mean * (0.2 - 0.0015))
    assert coverage.share_covered_by_welch(arms, of_means) < 0.9


def test_a_host_that_slows_down_evenly_slows_both_arms_alike_in_each_block_of_two():
    a, b = coverage._drifts(4, 1.0)
    assert (len(a), len(b)) == (4, 4)
    assert a.sum() == pytest.approx(b.sum())


def test_the_committed_figures_are_those_of_the_committed_records():
    frame = Folder(ROOT / "experiments" / "records").frame([groups.WALL])
    assert frame.left_out == ()
    found = noise.groups_of(frame)
    assert COMMITTED["noise"]["sessions"] == sum(map(len, found))
    assert noise.fit(found, TAILS) == SHAPES[coverage.TAIL]
    assert noise.fit(found, SPEEDS) == SHAPES[coverage.SPEEDS]


def test_every_committed_coverage_of_one_host_is_within_the_limits_and_none_below():
    rows = [row for row in COMMITTED["coverage"] if row["noise"] != coverage.HARSH]
    assert {row["noise"] for row in rows} == SOURCES.keys()
    for row in rows:
        assert row["covered"] >= 0.93
        if not row["drift"] and row["hosts"] == 1:
            assert row["covered"] <= 0.97


def test_the_page_is_rendered_from_the_figures():
    assert coverage.markdown(COMMITTED) in (ROOT / "docs" / "statistics.md").read_text()


def test_the_noise_that_is_fitted_is_found_again():
    generator = np.random.default_rng(0)
    shape = SkewedT(2.8, 4.0)
    groups = [1 + 0.1 * shape.draw(generator, (10,)) for _ in range(30)]
    found = noise.fit(groups, TAILS)
    assert 1.7 <= found.skew <= 4.5
    assert noise.fit([np.random.default_rng(1).standard_normal(10) for _ in range(30)], TAILS).skew <= 1.3


def test_sessions_at_two_speeds_are_found_again():
    generator = np.random.default_rng(0)
    shape = TwoSpeeds(0.2, 7.0)
    groups = [1 + 0.1 * shape.draw(generator, (10,)) for _ in range(30)]
    assert noise.fit(groups, SPEEDS) == shape
    assert noise.log_likelihood(shape, groups) > noise.log_likelihood(noise.fit(groups, TAILS), groups)


@pytest.mark.parametrize("shape", [NORMAL, SkewedT(3.5, 2.0), TwoSpeeds(0.2, 5.0)])
def test_a_density_is_one_and_that_of_what_is_drawn(shape):
    places = np.linspace(-400, 400, 800_001)
    density = np.exp(shape.log_density(places))
    assert np.trapezoid(density, places) == pytest.approx(1, abs=2e-3)
    drawn = shape.draw(np.random.default_rng(0), (100_000,))
    below = np.trapezoid(density[places <= 1], places[places <= 1])
    assert np.mean(drawn <= 1) == pytest.approx(below, abs=6e-3)
