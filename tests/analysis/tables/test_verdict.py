"""Verdicts on a figure of the paper: the tolerance, and intervals that hold it."""

from dataclasses import replace

import pytest

from analysis.tables import _verdict
from analysis.tables._verdict import Ours, Spot, unjudged
from tests.support.papers import FLOOR_PAPER_MS, h100_check, on
from tests.support.records import H100


@pytest.mark.parametrize(
    ("gpus", "said"),
    [({"h200"}, "no session on the h100"), ({"h100"}, "no valid session or A/B like it on the h100")],
)
def test_a_figure_without_a_value_says_why(gpus, said):
    row = _verdict.check("r_floor_paper", Spot("h100", "qwen2.5-7b", 4096), 0.271, None)
    assert _verdict.with_absence(row, gpus).reason == said
    assert _verdict.with_absence(replace(row, reason="1 of 12"), gpus).reason == "1 of 12"
    assert _verdict.with_absence(replace(row, verdict="differs"), gpus).reason is None
    assert _verdict.with_absence(replace(row, gpu=None), gpus).reason is None


@pytest.mark.medium
def test_within_the_tolerance_it_reproduces():
    row = h100_check([on(H100, FLOOR_PAPER_MS / 0.27)] * 3)
    assert row.verdict == "reproduces"
    assert row.ours == pytest.approx(0.27, abs=0.005)
    assert row.reason is None


@pytest.mark.medium
def test_beyond_it_differs_by_so_much():
    row = h100_check([on(H100, 2 * FLOOR_PAPER_MS / 0.27)] * 3)
    assert row.verdict == "differs"
    assert row.difference == pytest.approx(-0.5, abs=0.01)
    assert row.reason


def interval_check(factors):
    """Returns the check of H100 sessions whose steps are the paper's, each times a factor."""
    return h100_check([on(H100, factor * FLOOR_PAPER_MS / 0.27) for factor in factors])


@pytest.mark.medium
def test_in_a_narrow_interval_of_ours_it_reproduces_though_our_median_is_off():
    row = interval_check((0.97, 0.98, 1.06, 1.06, 1.07, 1.07, 1.07, 1.08))
    assert row.difference < -0.05
    assert (row.interval, row.verdict) == ("ci95", "reproduces")
    assert row.ours_low < 0.27 < row.ours_high


@pytest.mark.medium
def test_the_range_of_a_few_sessions_reproduces_nothing():
    row = interval_check((0.69, 4.7, 5.3))
    assert (row.interval, row.verdict) == ("range", "differs")
    assert row.reason.startswith("too scattered for a verdict: the range of 3 sessions is 0.0")
    # nor do three that are close together, where the median alone is too far off
    assert interval_check((0.99, 1.07, 1.08)).verdict == "differs"


@pytest.mark.medium
def test_an_interval_that_would_hold_anything_reproduces_nothing():
    row = interval_check((0.5, 0.6, 0.7, 1.5, 1.9, 2.0, 2.1))
    assert (row.interval, row.verdict) == ("ci95", "differs")
    assert row.reason.startswith("too scattered for a verdict: the confidence interval is 0.1")


def test_an_interval_may_reach_a_tenth_to_either_side_and_no_further():
    def verdict(high, kind="ci95"):
        return _verdict.check("ms", Spot("h100"), 10.9, Ours(10.0, 9.5, high, kind, 5, None, grows=True)).verdict

    # 10 is 8 % off 10.9, which lies in each interval; their upper ends are 9.9 and 11 % above 10
    assert verdict(10.99) == "reproduces"
    assert verdict(11.1) == "differs"
    assert verdict(10.99, "range") == "differs"


def test_a_figure_without_our_value_is_not_measured_and_has_no_difference():
    row = _verdict.check("ms", Spot("h100", "qwen2.5-7b", 2048), 11.0, None)
    assert (row.verdict, row.ours, row.difference, row.reason) == ("not measured", None, None, None)
    assert _verdict.unjudged("ms", Spot(), 8.0, 10.0).difference == 0.25  # 10 / 8 − 1


def test_counts_of_verdicts_agree_with_their_verbs():
    rows = [unjudged("r_floor_paper", Spot(), 0.27, None)] * 3
    verdicts = ("differs", "differs", "fits here")
    judged = [replace(row, verdict=verdict) for row, verdict in zip(rows, verdicts, strict=True)]
    assert _verdict.counted_verdicts([*judged, *rows]) == (
        "0 are reproduced, 2 differ, 1 fits here, 3 were not measured"
    )
    assert _verdict.counted_verdicts(judged[:1]) == "0 are reproduced, 1 differs"
