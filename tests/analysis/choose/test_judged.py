"""Rows of candidates: what each kind of evidence has."""

from __future__ import annotations

from dataclasses import replace

from analysis.choose.judged import SPEED_ONLY
from tests.support.candidates import CONFIGURATION, measured, predicted, published, row_of, tail_of


def test_a_quantised_row_says_that_its_accuracy_was_not_measured() -> None:
    packed = replace(published(17.36), configuration=replace(CONFIGURATION, quant="gptq"))
    assert row_of(packed).accuracy == SPEED_ONLY
    assert row_of(packed).notes == ["median 17.36 ms", "the paper", SPEED_ONLY]
    assert row_of(published(17.36)).accuracy == ""


def test_a_row_without_steps_says_nothing_of_a_tail() -> None:
    for row in (row_of(published(17.36)), row_of(predicted(10.0, 20.0))):
        assert row.anchor is None
        assert (row.miss_words, row.sample_words, row.p99_ms, row.miss_upper, row.sessions) == (None,) * 5
        assert row.miss_bounds == ()


def test_a_bar_that_no_deadline_lifts_is_told_apart() -> None:
    row = row_of(predicted(10.0, 20.0, memory_left_bytes=-1.0), deadline_ms=5.0)
    assert (row.meets, row.barred, row.barred_standing) == ("too slow", "does not fit", "fails")
    assert row_of(predicted(10.0, 20.0), deadline_ms=5.0).barred == ""


def test_below_three_sessions_no_bound_is_stated() -> None:
    two = row_of(measured(tail_of(sessions=2)))
    assert (two.meets, two.p99_ms, two.miss_upper, two.miss_words, two.miss_bounds) == (
        "median only",
        *(None, None, None, ()),
    )
    assert (two.missed, two.chunks, two.n_eff is not None) == (0, 300, True)
    assert row_of(measured(tail_of())).miss_upper is not None
