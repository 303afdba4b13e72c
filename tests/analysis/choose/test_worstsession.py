"""The worst session decides, and its bounds are those of `runner.record.tails`."""

from __future__ import annotations

import random

import pytest

from analysis.choose.worstsession import EXACT, Sample, Tail, tail
from runner.record import tails
from tests.support.candidates import spread_steps, tail_of


def sessions(*slow: int, count: int = 300) -> Tail:
    found = tail([[spread_steps(count, each)] for each in slow], 1)
    assert found is not None
    return found


def test_the_bound_is_that_of_the_worst_session_and_not_of_all_steps_together() -> None:
    found = sessions(0, 6, 2)
    worst = found.miss(20.0)
    assert (worst.missed, worst.chunks) == (6, 300)
    assert worst == tails.miss([spread_steps(300, 6)], 20.0)
    assert found.miss(31.0).missed == 0


def test_p99_needs_three_sessions_that_all_support_it() -> None:
    assert sessions(0, 0, 0).p99_ms == max(spread_steps(300))
    assert sessions(0, 0).p99_ms is None
    assert not sessions(0, 0).is_promise
    short = tail([[spread_steps(300)], [spread_steps(300)], [spread_steps(200)]], 1)
    assert short is not None
    assert short.p99_ms is None


def test_the_slowest_median_is_that_of_a_session() -> None:
    found = tail([[[1.0, 2.0, 9.0]], [[4.0, 5.0, 6.0]], [[3.0, 3.0, 3.0]]], 1)
    assert found is not None
    assert (found.chunk_ms, found.slowest_median_ms, found.longest_ms) == (3.0, 5.0, 9.0)


def test_a_chunk_is_within_a_window() -> None:
    found = tail([[[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0]]], 2)
    assert found is not None
    assert [sample.times for sample in found.samples] == [[3.0, 7.0, 13.0]]
    assert tail([[[1.0, 2.0]], [[1.0, 2.0, 3.0]]], 3) is None
    assert tail([], 1) is None


@pytest.mark.medium
@pytest.mark.parametrize("count", [30, 300, 900])
def test_the_points_never_promise_more_than_the_sample_at_a_deadline(count: int) -> None:
    generator = random.Random(count)
    windows = [[[5 + generator.expovariate(2) for _ in range(count)]] for _ in range(3)]
    found = tail(windows, 1)
    assert found is not None
    points = found.points
    assert [point.upper for point in points] == sorted((point.upper for point in points), reverse=True)
    for deadline in (5.0, 5.3, 6.0, 7.0, 8.0, 9.0, 12.0):
        at = [point for point in points if point.from_ms <= deadline]
        stated = at[-1].upper if at else 1.0
        assert stated >= found.miss(deadline).upper - 1e-12
    assert points[-1].from_ms <= found.longest_ms
    assert points[-1].upper == pytest.approx(found.miss(found.longest_ms).upper)


def test_few_misses_have_a_point_each() -> None:
    sample = Sample([spread_steps(300, 9)])
    shares = [point.share for point in sample.points[-EXACT - 1 :]]
    assert shares == pytest.approx([4 / 300, 3 / 300, 2 / 300, 1 / 300, 0][-len(shares) :], abs=9 / 300)


def test_the_deadline_for_a_probability_is_missed_with_no_more() -> None:
    found = tail_of(slow=3)
    deadline = found.deadline_for(0.05)
    assert deadline is not None
    assert found.miss(deadline).upper <= 0.05
    assert found.deadline_for(1e-6) is None
