"""The ruling on a candidate: each word, and what it depends on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.choose import ruling
from analysis.choose.candidate import Candidate
from analysis.choose.limits import Limits
from analysis.choose.ruling import FAILS, LACKS, MEETS
from runner.record import tails
from tests.support.candidates import measured, predicted, published, tail_of


def ruled(candidate: Candidate, deadline_ms: float = 50.0, **limits: Any) -> tuple[str, str]:
    found = ruling.ruling(candidate, Limits(deadline_ms, **limits))
    return found.standing, found.word


def test_p99_decides_where_the_sample_supports_it() -> None:
    slow = measured(tail_of(slow=9))  # 3 % of 30 ms: p99 is 30 ms
    assert ruled(slow) == (MEETS, "yes")
    assert ruled(slow, 29.0) == (FAILS, "too slow")
    assert "p99 ≤ 30.00 ms" in ruling.ruling(slow, Limits(29.0)).reason


def test_without_enough_steps_or_sessions_the_median_decides_and_promises_nothing() -> None:
    short, few = measured(tail_of(count=30, slow=1)), measured(tail_of(sessions=2))
    for candidate in (short, few):
        assert ruled(candidate, 9.0) == (MEETS, "median only")
        assert ruled(candidate, 7.0) == (FAILS, "too slow")
    assert "not enough steps for p99: 30, worth 30 independent ones" in ruling.ruling(short, Limits()).reason
    assert "no tail from 2 sessions" in ruling.ruling(few, Limits()).reason


def test_many_dependent_steps_are_told_with_what_they_are_worth() -> None:
    from analysis.choose.worstsession import tail

    burst = [[8.0] * 270 + [9.0] * 30] * 10  # the slowest steps of a window stand together
    found = tail([burst] * 3, 1)
    assert found is not None
    worth = tails.effective(burst).n_eff
    assert worth < 300
    reason = ruling.ruling(measured(found), Limits()).reason
    assert reason.endswith(f"not enough steps for p99: 3000, worth {worth:.0f} independent ones")


def test_the_median_is_that_of_the_slowest_session() -> None:
    from analysis.choose.worstsession import tail

    found = measured(tail([[[4.0] * 30], [[5.0] * 30], [[9.0] * 30]], 1))
    assert ruled(found, 8.0) == (FAILS, "too slow")
    assert ruled(found, 9.0) == (MEETS, "median only")


def test_a_prediction_meets_a_deadline_with_the_upper_end_of_its_range() -> None:
    assert ruled(predicted(10.0, 20.0), 20.0) == (MEETS, "predicted")
    assert ruled(predicted(10.0, 20.0), 19.9) == (LACKS, "uncertain")
    assert ruled(predicted(10.0, 20.0), 9.9) == (FAILS, "too slow")
    assert ruled(predicted(10.0, None), 1e9) == (LACKS, "uncertain")


def test_a_published_step_has_a_median_only() -> None:
    assert ruled(published(17.36)) == (MEETS, "median only")
    assert ruled(published(62.32)) == (FAILS, "too slow")


def test_a_limit_of_misses_needs_a_bound_below_it() -> None:
    clean, slow = measured(tail_of(count=3000)), measured(tail_of(count=3000, slow=9))
    assert ruled(clean, miss=0.002) == (MEETS, "yes")
    assert ruled(clean, miss=0.0005) == (LACKS, "not enough steps")  # 0 of 3000 bounds it by 0.001
    assert ruled(slow, 20.0, miss=0.002) == (FAILS, "too slow")  # 9 of 3000 are 0.003
    assert ruled(slow, 20.0, miss=0.0035) == (LACKS, "not enough steps")
    assert ruled(slow, 20.0, miss=0.02) == (MEETS, "yes")
    assert ruled(slow, 31.0, miss=0.002) == (MEETS, "yes")


def test_too_few_sessions_promise_no_tail() -> None:
    found = measured(tail_of(sessions=2, count=3000))
    assert ruled(found, miss=0.01) == (LACKS, "too few sessions")
    assert ruled(found, 7.0, miss=0.01) == (FAILS, "too slow")


@pytest.mark.parametrize("candidate", [predicted(1.0, 2.0), published(1.0)])
def test_a_row_without_steps_never_meets_a_limit_of_misses(candidate: Candidate) -> None:
    assert ruled(candidate, miss=0.5) == (LACKS, "no steps")
    assert ruled(candidate, 0.5, miss=0.5) == (FAILS, "too slow")


def test_too_few_steps_for_a_chunk_are_told_from_too_slow_ones() -> None:
    found = measured(None, chunk_ms=64 * 8.0)  # sessions of fewer than 64 steps
    assert ruled(found, 600.0, tokens=64) == (LACKS, "not enough steps")
    assert ruled(found, 500.0, tokens=64) == (FAILS, "too slow")
    assert ruled(found, 600.0, tokens=64, miss=0.1) == (LACKS, "not enough steps")
    assert "no session has 64 consecutive steps" in ruling.ruling(found, Limits(600.0, 64)).reason


def test_37_chunks_of_8_are_not_enough_for_one_miss_in_a_thousand() -> None:
    found = measured(tail_of(tokens=8))
    assert ruled(found, 400.0, tokens=8, miss=0.001) == (LACKS, "not enough steps")
    assert "0 of 37 chunks" in ruling.ruling(found, Limits(400.0, 8, 0.001)).reason
    assert ruled(found, 60.0, tokens=8, miss=0.001) == (FAILS, "too slow")


def test_a_limit_of_cost_fails_or_lacks_its_number() -> None:
    found = measured(tail_of(), usd_per_mtok=3.0, joules_most=1.0)
    assert ruled(found, usd_per_mtok=3.0, joules_per_token=1.0) == (MEETS, "yes")
    assert ruled(found, usd_per_mtok=2.9) == (FAILS, "too expensive")
    assert ruled(found, joules_per_token=0.9) == (FAILS, "too much energy")
    assert ruled(replace(found, usd_per_mtok=None), usd_per_mtok=9.0) == (LACKS, "no data: price")
    assert ruled(replace(found, joules_most=None), joules_per_token=9.0) == (LACKS, "no data: energy")


def test_the_worst_session_counts_for_energy_too() -> None:
    found = measured(tail_of(), joules_per_token=1.0, joules_low=0.9, joules_high=1.2, joules_most=1.2)
    assert ruled(found, joules_per_token=1.1) == (FAILS, "too much energy")


def test_a_value_just_above_its_limit_does_not_read_as_the_limit() -> None:
    found = measured(tail_of(), joules_per_token=2.898, joules_most=2.904)
    assert ruling.ruling(found, Limits(joules_per_token=2.9)).reason == "2.904 J/token"


def test_what_does_not_fit_fails_at_any_deadline() -> None:
    found = predicted(1.0, 2.0, memory_left_bytes=-1.5e9)
    assert ruled(found) == (FAILS, "does not fit")
    assert ruling.ruling(found, Limits()).reason == "1.5 GB more than the card has"
    assert ruled(found, 0.5) == (FAILS, "too slow")


def test_a_failed_limit_counts_before_a_lacking_one() -> None:
    found = predicted(10.0, 60.0, usd_per_mtok=9.0)
    assert ruled(found, usd_per_mtok=3.0) == (FAILS, "too expensive")


def test_the_excess_is_the_largest_multiple_of_a_failed_limit() -> None:
    found = measured(None, chunk_ms=20.0, usd_per_mtok=9.0)
    assert ruling.ruling(found, Limits(10.0)).excess == 2.0
    assert ruling.ruling(found, Limits(10.0, usd_per_mtok=3.0)).excess == 3.0
    assert ruling.ruling(found, Limits(20.0)).excess is None
    assert ruling.ruling(replace(found, memory_left_bytes=-1.0), Limits(10.0)).excess is None


def test_a_time_of_several_tokens_that_follows_from_one_step_says_so() -> None:
    few = measured(None, step_ms=8.0, chunk_ms=512.0)
    assert ruling.ruling(few, Limits(400.0, 64)).reason == "median 64 × 8.00 = 512.00 ms"
    assert ruling.ruling(published(8.0, chunk_ms=64.0), Limits(tokens=8)).reason == "median 8 × 8.00 = 64.00 ms"
    assert ruling.ruling(published(8.0), Limits()).reason == "median 8.00 ms"
