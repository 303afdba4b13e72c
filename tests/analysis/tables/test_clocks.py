"""The clocks of a step in their order, and the terms between them."""

from pathlib import Path

import pytest
from hypothesis import given

from analysis.sources.records import Folder
from analysis.tables import _clocks, budget
from runner.record import metrics, record, spool
from tests.support.clocks import CLOCKS, clocks, judged
from tests.support.derive import typed

RECORDS = Path(__file__).parents[3] / "experiments" / "records" / "h200"


def terms(**changes):
    return {term.name: term.ms for term in _clocks.terms_of(clocks(**changes))}


def test_each_term_lies_between_two_clocks():
    # 3.5 − 3 = 0.5; 8 − 3.5 = 4.5; 20 − 8 = 12; 21 − 20 = 1
    assert terms() == {"floor": 3.0, "achieved": 0.5, "kernels": 4.5, "gaps": 12.0, "host": 1.0}
    of = {term.name: term.of for term in _clocks.terms_of(clocks())}
    assert of["gaps"] == "busy, span"
    assert of["host"] == "span, wall"


def test_a_growing_cache_has_its_first_visits_apart():
    # the revisit takes 22, the first visit 60: 22 − 20 = 2 for the host, 60 − 22 = 38 for the visit
    found = terms(step_wall_revisit_ms=22.0, step_wall_ms=60.0)
    assert (found["host"], found["new length"]) == (2.0, 38.0)


def test_kernels_that_overlap_are_one_term_with_their_gaps():
    assert terms(kernel_sum_ms=8.0 * 1.005).keys() == {"floor", "achieved", "kernels", "gaps", "host"}
    found = terms(kernel_sum_ms=8.0 * 1.02)
    assert found.keys() == {"floor", "achieved", "kernels and gaps", "host"}
    assert found["kernels and gaps"] == 16.5  # 20 − 3.5


def test_a_gpu_that_is_not_in_the_catalogue_starts_at_what_it_achieves():
    assert terms(floor_ms=None) == {"floor": 3.5, "kernels": 4.5, "gaps": 12.0, "host": 1.0}


@pytest.mark.medium
@given(CLOCKS)
def test_whatever_the_clocks_say_each_term_is_in_the_step_and_they_add_up_to_it(found):
    ms = [term.ms for term in _clocks.terms_of(clocks(**found))]
    assert all(0 <= each <= found["step_wall_ms"] for each in ms)
    assert sum(ms) == pytest.approx(found["step_wall_ms"], rel=1e-12)


def test_a_clock_that_is_longer_than_the_one_above_is_cut_to_it_and_the_row_says_so():
    # span 21.5 is above wall 21: 0.5 ms, 2.4 %, are cut; the gaps end at 21
    row = judged(step_span_ms=21.5)
    assert {term.name: term.ms for term in row.terms} == {
        "floor": 3.0,
        "achieved": 0.5,
        "kernels": 4.5,
        "gaps": 13.0,
        "host": 0.0,
    }
    assert (row.cuts, row.is_attributed) == (["span by 0.500"], True)
    assert "span by 0.500" in budget.TABLE.markdown([row])
    assert judged().cuts == []


def test_a_probe_that_read_too_low_is_cut_and_beyond_the_limit_attributes_nothing():
    # 9 ms by the probe, 8 of kernels: 1 of 21 is cut, 4.8 %
    row = judged(floor_achievable_ms=9.0)
    assert (row.cuts, row.is_attributed) == (["bytes and read probe by 1.000"], True)
    # 12 by the probe: 4 of 21 are cut
    row = judged(floor_achievable_ms=12.0)
    assert (row.is_attributed, row.largest) == (False, None)
    assert row.sentence == (
        "attribution is not possible: the clock bytes and read probe is 12.00 ms, the one above it 8.00 ms"
    )
    # a floor above the step itself
    row = judged(floor_ms=30.0, floor_achievable_ms=33.0)
    assert [term.ms for term in row.terms] == [8.0, 0.0, 0.0, 13.0]
    assert row.is_attributed is False


@pytest.mark.parametrize(
    ("changes", "apart"),
    [
        ({}, 1 / 21),  # span 20, wall 21; the profiled 28 are the profiler's
        ({"step_span_ms": 27.3}, 0.3),
        ({"step_rate_ms": 27.3}, 7.3 / 21),
        ({"profiled_span_ms": 16.8}, 0.2),  # no profiler makes a step quicker
        ({"step_wall_revisit_ms": 25.0, "step_wall_ms": 100.0}, 0.2),
        ({"passes_apart": 0.4}, 0.4),  # the sessions' own passes lie further apart than their medians
        ({"step_span_ms": None}, None),
    ],
)
def test_the_uncertainty_is_how_far_passes_over_the_same_lengths_lie_apart(changes, apart):
    assert _clocks.uncertainty(clocks(**changes)) == pytest.approx(apart)


@pytest.mark.medium
def test_a_sessions_own_passes_lie_as_far_apart_as_its_record_says():
    folder = Folder(RECORDS)
    sessions = folder.frame(budget.METRICS).every.with_columns(_clocks.sessions_apart().alias("apart"))
    found = dict(zip(sessions["session"], sessions["apart"], strict=True))
    for path in spool.record_files(RECORDS):
        one = typed(record.read(path))
        if not one.protocol.is_tail:
            assert found[one.session.id] == pytest.approx(metrics.passes_disagreement(one), rel=1e-12)
