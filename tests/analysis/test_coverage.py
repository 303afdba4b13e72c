"""Is a 95 % interval one? Simulated A/Bs with a known ratio, and the committed figures behind docs/statistics.md."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from analysis import coverage, noise, sessions
from analysis.coverage import RATIO, Setting
from analysis.noise import NORMAL, Shape

ROOT = Path(__file__).parents[2]
COMMITTED = json.loads((ROOT / "docs" / "coverage.json").read_text())
SIMULATIONS = 10_000  # a standard error of 0.2 percent points


def committed_shape():
    shape = COMMITTED["noise"]
    return Shape(shape["skew"], math.inf if shape["freedom"] is None else shape["freedom"])


SOURCES = {"normal": noise.of_shape(NORMAL), "fitted": noise.of_shape(committed_shape())}


@pytest.mark.parametrize("sessions_", coverage.SESSIONS)
@pytest.mark.parametrize("variations", coverage.VARIATIONS)
@pytest.mark.parametrize("name", SOURCES)
def test_the_interval_holds_the_true_ratio_as_often_as_it_says(name, variations, sessions_):
    arms = coverage.simulate(Setting(name, *variations, sessions_), SOURCES[name], RATIO, SIMULATIONS, seed=1)
    assert 0.93 <= coverage.share_covered(arms, RATIO) <= 0.972  # 97 %, and a standard error


@pytest.mark.parametrize("name", SOURCES)
def test_over_two_hosts_too(name):
    arms = coverage.simulate(Setting(name, 0.2, 0.0015, 20, hosts=2), SOURCES[name], RATIO, SIMULATIONS)
    assert len(arms) == 2
    assert 0.93 <= coverage.share_covered(arms, RATIO) <= 0.972


@pytest.mark.parametrize("name", SOURCES)
def test_the_verdict_has_its_power(name):
    same, faster, slower = (coverage.power(name, SOURCES[name], r, SIMULATIONS) for r in (1.0, 1.03, 1 / 1.03))
    assert same.same >= 0.8
    assert same.faster + same.slower <= 0.025
    assert faster.faster >= 0.9
    assert slower.slower >= 0.9
    assert max(faster.slower, slower.faster) <= 0.025


def test_an_interval_that_is_too_narrow_would_be_found_out():
    """Welch's t, on sessions that scatter to the right in one arm only."""
    source = SOURCES["fitted"]
    arms = coverage.simulate(Setting("fitted", 0.2, 0.0015, 10), source, RATIO, SIMULATIONS)
    of_means = RATIO * math.exp(source.mean * (0.2 - 0.0015))
    assert coverage.share_covered_by_welch(arms, of_means) < 0.9


def test_a_host_that_slows_down_evenly_slows_both_arms_alike_in_each_block_of_two():
    a, b = coverage._drifts(4, 1.0)
    assert (len(a), len(b)) == (4, 4)
    assert a.sum() == pytest.approx(b.sum())


def test_the_committed_figures_are_those_of_the_committed_records():
    records, rejected = sessions.read_folder(ROOT / "experiments" / "records")
    assert rejected == []
    groups = noise.groups_of(records)
    assert COMMITTED["noise"]["sessions"] == sum(map(len, groups))
    assert noise.fit(groups) == committed_shape()


def test_every_committed_coverage_without_drift_is_within_the_limits():
    for row in COMMITTED["coverage"]:
        assert row["covered"] >= 0.93
        if not row["drift"]:
            assert row["covered"] <= 0.97


def test_the_page_is_rendered_from_the_figures():
    assert coverage.markdown(COMMITTED) in (ROOT / "docs" / "statistics.md").read_text()


def test_the_noise_that_is_fitted_is_found_again():
    generator = np.random.default_rng(0)
    shape = Shape(2.8, 4.0)
    groups = [1 + 0.1 * shape.draw(generator, (10,)) for _ in range(60)]
    found = noise.fit(groups)
    assert 1.7 <= found.skew <= 4.5
    assert noise.fit([np.random.default_rng(1).standard_normal(10) for _ in range(60)]).skew <= 1.3
