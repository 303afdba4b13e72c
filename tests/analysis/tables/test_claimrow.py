"""Outcomes of tests, and verdicts on claims."""

import pytest

from analysis.paper import Claim
from analysis.tables._claimrow import (
    Limit,
    Need,
    Place,
    Quantity,
    evidence,
    missing_words,
    verdict,
    verdict_row,
)

PLACE = Place("reading / step", "h100", "qwen2.5-7b", 2048, "eager, static cache")


def quantity(low, high, sessions=3):
    return Quantity((low + high) / 2, low, high, "range", sessions, 1, ["drifting"])


@pytest.mark.parametrize(
    ("low", "high", "sessions", "above", "below"),
    [
        (0.6, 0.7, 3, "yes", "no"),
        (0.3, 0.4, 3, "no", "yes"),
        (0.4, 0.6, 3, "undecided", "undecided"),
        (0.5, 0.6, 3, "undecided", "undecided"),  # an end on the limit is on neither side
        (0.4, 0.5, 3, "undecided", "undecided"),
        (0.6, 0.7, 2, "undecided", "undecided"),  # two sessions decide nothing
    ],
)
def test_the_whole_interval_must_lie_on_the_side_that_is_asked(low, high, sessions, above, below):
    assert Limit(0.5, is_above=True).outcome(quantity(low, high, sessions)) == above
    assert Limit(0.5, is_above=False).outcome(quantity(low, high, sessions)) == below


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["yes", "yes"], "holds"),
        (["yes", "no"], "holds in part"),
        (["yes", "undecided"], "holds in part"),
        (["yes", "not measured"], "holds in part"),
        (["no", "no"], "does not hold"),
        (["no", "undecided", "not measured"], "does not hold"),
        (["undecided", "not measured"], "cannot be told"),
        (["not measured"], "not measured here"),
    ],
)
def test_each_verdict_follows_from_the_outcomes(outcomes, expected):
    assert verdict(outcomes) == expected


def test_a_row_has_the_interval_hosts_and_flags_of_its_sessions_or_says_what_is_missing():
    row = evidence("memory", PLACE, Limit(0.5, is_above=True), quantity(0.6, 0.7), [])
    assert (row.outcome, row.ours_low, row.ours_high, row.sessions, row.hosts) == ("yes", 0.6, 0.7, 3, 1)
    assert (row.flags, row.condition, row.missing) == (["drifting"], "> 0.5", [])
    limit = Limit(0.5, is_above=True)
    assert evidence("memory", PLACE, limit, quantity(0.6, 0.7), [], void="a reason").outcome == "undecided"
    need = Need("h100", "qwen2.5-7b", 2048, "eager")
    row = evidence("memory", PLACE, Limit(0.5, is_above=False), None, [need])
    assert (row.outcome, row.ours, row.sessions, row.flags) == ("not measured", None, None, [])
    assert (row.condition, row.missing) == ("< 0.5", [need])


def test_a_claim_counts_its_tests_and_names_the_missing_sessions_once():
    need = Need("h100", "qwen2.5-7b", 4096, "eager")
    limit = Limit(0.5, is_above=True)
    found = [
        *(evidence("memory", PLACE, limit, quantity(*ends), []) for ends in ((0.6, 0.7), (0.1, 0.2), (0.4, 0.6))),
        *(evidence("memory", PLACE, limit, None, [need]) for _ in range(2)),
    ]
    row = verdict_row(Claim("memory", "Decode is …"), "a rule", found)
    assert (row.verdict, row.passed, row.failed, row.undecided, row.unmeasured) == ("holds in part", 1, 1, 1, 2)
    assert row.sentence == "h100 eager: qwen2.5-7b at 4096"


def test_missing_sessions_are_told_by_card_and_setting():
    needs = [
        Need("h100", "qwen2.5-7b", 4096, "eager"),
        Need("h100", "qwen2.5-7b", 2048, "eager"),
        Need("h100", "mistral-7b", 2048, "eager"),
        Need("l4", "qwen2.5-7b", 2048, "an A/B"),
    ]
    assert missing_words(needs) == (
        "h100 eager: qwen2.5-7b at 2048 and 4096, mistral-7b at 2048; l4 an A/B: qwen2.5-7b at 2048"
    )
    assert missing_words([]) == ""
