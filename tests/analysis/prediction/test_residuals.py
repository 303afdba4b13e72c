"""Ranges: their width by hand, what they are made of, and that they cover what was held out."""

import math

import numpy
import pytest

from analysis.prediction import residuals
from tests.support.predictions import EAGER, GRAPH, observation, on_hosts, rows


def test_independent_errors_have_a_degree_of_freedom_each():
    assert residuals.degrees_of_freedom([[0.1], [-0.2], [0.3]]) == 3.0
    # the products within folds cancel out: 0.1 * -0.1 twice
    assert residuals.degrees_of_freedom([[0.1, -0.1], [0.1, -0.1]]) == 4.0


def test_equal_errors_of_a_fold_count_once():
    # correlation 1: 4² / (2 + 2 + 2 + 2) = 2
    assert residuals.degrees_of_freedom([[0.1, 0.1], [-0.1, -0.1]]) == pytest.approx(2.0)
    assert residuals.degrees_of_freedom([[0.2, 0.2, 0.2]]) == pytest.approx(1.0)


def test_half_correlated_errors_lie_between():
    # square: (4 + 1 + 4 + 1) / 4 = 2.5; products 2 * (2 + 2) / 4 = 2: correlation 0.8; 16 / (4 + 4 * 0.64)
    assert residuals.degrees_of_freedom([[2, 1], [-2, -1]]) == pytest.approx(16 / (4 + 4 * 0.64))


def test_a_width_is_that_of_student():
    # three errors of rms 0.1: t at 97.5 % with 3 degrees of freedom is 3.182
    found = residuals.spread("device", [[0.1], [-0.1], [0.1]])
    assert (found.rows, found.folds, found.rms) == (3, 3, pytest.approx(0.1))
    assert found.half_width == pytest.approx(0.3182, abs=1e-4)


@pytest.mark.medium
def test_a_range_covers_a_new_error_as_often_as_it_says():
    """Folds of errors with a common part: a new fold's error is inside in about 95 % of the trials."""
    random = numpy.random.default_rng(1)
    inside = 0
    for _ in range(1000):
        common = random.normal(0, 0.05, 5)
        errors = [[part + random.normal(0, 0.05) for _ in range(6)] for part in common[:4]]
        width = residuals.spread("device", errors).half_width
        inside += abs(common[4] + random.normal(0, 0.05)) <= width
    assert 0.92 <= inside / 1000 <= 0.99


@pytest.mark.medium
def test_exact_rows_leave_no_spread():
    fitted = residuals.with_spreads(rows())
    assert [each.limit for each in fitted.spreads] == ["device", "host-bound"]
    assert all(each.rms < 1e-3 for each in fitted.spreads)


@pytest.mark.medium
def test_hosts_widen_the_range_of_steps_that_the_host_limits_alone():
    plain = [observation(GRAPH, model, ctx=ctx) for model in ("qwen2.5-7b", "mistral-7b") for ctx in (2048, 16384)]
    eager = [on_hosts(observation(EAGER, model), 1.0, 1.5) for model in ("qwen2.5-7b", "mistral-7b")]
    fitted = residuals.with_spreads([*plain, *eager])
    # a host is 1.5 times as slow as the other; the cost of a new length adds to both
    assert fitted.spread("host-bound").rms > 0.2
    assert fitted.spread("device").rms < 0.01


@pytest.mark.medium
def test_steps_of_one_place_alone_have_a_range_from_their_rows():
    plain = [observation(GRAPH, model) for model in ("qwen2.5-7b", "mistral-7b")]
    eager = [observation(EAGER, "qwen2.5-7b", ctx=ctx) for ctx in (2048, 4096, 8192)]
    slower = [on_hosts(row, factor) for row, factor in zip(eager, (1.0, 1.2, 1.4), strict=True)]
    found = residuals.with_spreads([*plain, *slower]).spread("host-bound")
    assert (found.rows, found.folds) == (3, 3)
    assert 0.1 < found.rms < 0.4


@pytest.mark.medium
def test_the_rows_are_named_with_their_sessions():
    (known,) = residuals.constants(rows()).architectures
    assert [row.sessions for row in known.rows] == [(each.sessions[0].session,) for each in rows()]
    assert all(math.isclose(row.measured_ms, row.fitted_ms, rel_tol=1e-3) for row in known.rows)
