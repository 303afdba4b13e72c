"""The rules of the gate on numbers small enough to check by hand; whole records are judged in test_judgement.py."""

import math
from dataclasses import replace

import pytest

from runner.cell.fieldtypes import ABSENT
from runner.record import gaterules
from runner.record.gaterules import NOT_FINITE
from runner.record.sections.gate import GateVersion1, GateVersion2
from tests.support.derive import gate_of


def check(name, errors, trusted, start=0):
    return {"name": name, "positions": [*range(start, start + len(errors))], "errors": errors, "trusted": trusted}


def gate(**changes):
    """A gate of version 2 whose limits are easy to reckon with: regrets of at most 2 · 1.5 trusted errors."""
    section = {
        "gate_version": 2,
        "cap": 0.1,
        "regret_limit": 2,
        "stated_ratio": 1.5,
        "stated_spread": 0.0,
        "checkpoint_spread": 0.0,
        "dtype_ratio": 1.0,
        "dtype_spread": 0.0,
        "trusted_error": 0.02,
        "checks": [check("short", [0.02] * 4, [0.02] * 4), check("ctx", [0.02] * 4, [0.02] * 4, start=64)],
        "timed_trusted": [0.02, 0.01],
        "tokens": [{"name": "wall", "regrets": [0.0, 0.0], "repeats": [4.0, 4.0]}],
        "rows": [{"name": "wall", "unwritten": 0, "difference": 0.0, "of_tensor": 0.0}],
        **changes,
    }
    tokens = [{"chosen": [], "regrets": [], "repeats": [], **each} for each in section["tokens"]]
    return gate_of({**section, "tokens": tokens})


def older_gate(**changes):
    """A gate of version 1."""
    checks = [check("short", [0.02] * 4, [0.02] * 4)]
    return gate_of({"cap": 0.1, "noise": 0.01, "trusted_error": 0.02, "checks": checks, **changes})


def test_a_section_that_states_no_version_is_of_the_first():
    assert gaterules.version(older_gate()) == 1
    assert gaterules.version(gate()) == 2


def test_a_spread_is_the_sample_deviation_of_the_logarithms():
    # log 1, log e: mean 0.5, √((0.25 + 0.25) / 1)
    assert gaterules.spread([0.02, 0.02 * math.e], [0.02, 0.02]) == pytest.approx(math.sqrt(0.5))
    assert gaterules.spread([0.05], [0.02]) == 0.0
    assert gaterules.spread([0.05, 0.0], [0.02, 0.02]) == 0.0  # a zero has no logarithm
    # quotients that no float can be: log 1e308 - log 1e-308 and its opposite, twice 308 log 10 from their mean 0
    assert gaterules.spread([1e308, 1e-308], [1e-308, 1e308]) == pytest.approx(2 * 308 * math.log(10) * math.sqrt(2))


def test_a_sessions_ratio_is_the_larger_of_the_driven_places():
    checks = [check("short", [0.03], [0.02]), check("ctx", [0.04], [0.02]), check("wall", [0.08], [0.02])]
    assert gaterules.worst_ratio(gate(checks=checks)) == pytest.approx(2.0)
    assert gaterules.worst_ratio(gate(checks=checks[::-1])) == pytest.approx(2.0)
    assert gaterules.worst_ratio(gate(checks=checks[2:])) == NOT_FINITE
    assert gaterules.worst_ratio(older_gate(checks=checks)) is None


def test_a_bound_is_trusted_eagers_error_times_the_ratio_with_its_spread_and_never_above_the_cap():
    assert gaterules.bound(gate(), 0.02) == pytest.approx(1.5 * 0.02)
    wide = gate(stated_spread=0.1, checkpoint_spread=0.05)
    assert gaterules.bound(wide, 0.02) == pytest.approx(1.5 * math.exp(5 * 0.1) * 0.02)
    of_checkpoint = gate(stated_spread=0.05, checkpoint_spread=0.1)
    assert gaterules.bound(of_checkpoint, 0.02) == pytest.approx(1.5 * math.exp(5 * 0.1) * 0.02)
    assert gaterules.bound(gate(), 0.09) == 0.1
    assert gaterules.bound(older_gate(), 0.02) == 0.06


def test_a_regret_is_told_as_a_share_of_what_its_own_position_allows():
    # 2 · 1.5 · 0.02 = 0.06 and 2 · 1.5 · 0.01 = 0.03
    assert gaterules.allowed_regrets(gate()) == pytest.approx([0.06, 0.03])
    tokens = [{"name": name, "regrets": regrets} for name, regrets in (("wall", [0.03, 0.0]), ("span", [0.0, 0.027]))]
    assert gaterules.worst_regret(gate(tokens=tokens)) == pytest.approx(0.9)
    assert gaterules.worst_regret(gate(timed_trusted=[0.0, 0.0])) == NOT_FINITE
    assert gaterules.worst_regret(gate(tokens=[])) == NOT_FINITE
    assert gaterules.worst_regret(older_gate()) is None


def test_steps_are_repeatable_where_the_token_before_would_pass_too():
    tokens = [{"name": "wall", "repeats": [0.06, 0.031]}, {"name": "span", "repeats": [0.059, 0.029]}]
    assert gaterules.repeatable(gate(tokens=tokens)) == 0.75
    assert gaterules.repeatable(gate(tokens=[])) == 1.0  # nothing was seen to fail
    assert gaterules.repeatable(older_gate()) is None


@pytest.mark.parametrize(("share", "right"), [(0.1, True), (0.2, False)])
def test_a_tenth_of_the_steps_may_be_repeatable(share, right):
    repeats = [0.0 if step < 10 * share else 9.0 for step in range(10)]
    found = gate(timed_trusted=[0.02] * 10, tokens=[{"name": "wall", "regrets": [0.0] * 10, "repeats": repeats}])
    assert (list(gaterules.reasons(found)) == []) is right


def test_a_margin_decides_from_the_regret_that_two_right_paths_may_have():
    assert gaterules.undecided_below(gate()) == pytest.approx(2 * 1.5 * 0.02)
    assert gaterules.undecided_below(older_gate(bound=0.06)) == 0.12


@pytest.mark.parametrize(
    ("error", "trusted_error", "noise", "flagged"),
    [
        (0.07, 0.02, 0.2, True),  # above 3 · 0.02, and the noise stated is above the cap
        (0.06, 0.02, 0.2, False),
        (0.07, 0.02, 0.1, False),  # the kernel states no more than the cap
        (0.11, 0.09, 0.2, True),  # above the cap, though under 3 · 0.09
    ],
)
def test_a_session_of_version_1_is_imprecise_within_a_noise_above_the_cap(error, trusted_error, noise, flagged):
    found = older_gate(error=error, trusted_error=trusted_error, noise=noise)
    assert gaterules.is_imprecise(found) is flagged


@pytest.mark.parametrize(("errors", "flagged"), [([0.02] * 4, False), ([0.0201] * 4, True)])
def test_a_session_is_imprecise_above_the_ratio_of_its_dtype(errors, flagged):
    found = gate(checks=[check("short", errors, [0.02] * 4)])
    assert gaterules.is_imprecise(found) is flagged
    assert list(gaterules.reasons(found)) == []


def test_both_places_are_held_to_one_mean_as_well():
    # each place may be 1.1 · exp(5 · 0.1 / √4) = 1.412; both together 1.1 · exp(5 · 0.1 / √8) = 1.313
    checks = [check("short", [0.0275] * 4, [0.02] * 4), check("ctx", [0.0275] * 4, [0.02] * 4, start=64)]
    (reason,) = gaterules.reasons(gate(stated_ratio=1.1, stated_spread=0.1, checks=checks))
    assert reason == (
        "gate both: logit errors are 1.38 times trusted eager's (geometric mean of 8 positions), limit 1.31"
    )


def test_neither_place_hides_behind_the_other():
    # 1.6 at one; with 1.0 at the other both together are √1.6 = 1.26, within 1.5
    for wrong, right in (("short", "ctx"), ("ctx", "short")):
        starts = {"short": 0, "ctx": 64}
        checks = [check(name, [error] * 4, [0.02] * 4, starts[name]) for name, error in ((wrong, 0.032), (right, 0.02))]
        (reason,) = gaterules.reasons(gate(checkpoint_spread=0.2, checks=checks))
        assert reason.startswith(f"gate {wrong}: logit errors are 1.6 times trusted eager's (geometric mean of 4 pos")


def test_each_error_is_held_against_trusted_eagers_at_its_own_position():
    # 1.5 · 0.02 = 0.03 and 1.5 · 0.01 = 0.015
    checks = [check("wall", [0.029, 0.016], [0.02, 0.01])]
    assert list(gaterules.reasons(gate(checks=checks))) == [
        "gate wall: logit error 0.016 exceeds the bound 0.015",
    ]


def test_a_trusted_error_counts_wherever_it_was_seen():
    assert next(gaterules.reasons(gate(trusted_error=0.11))) == "trusted eager's error 0.11 exceeds the cap 0.1"
    timed = gate(timed_trusted=[0.02, 0.12])
    assert next(gaterules.reasons(timed)) == "trusted eager's error 0.12 exceeds the cap 0.1"
    assert list(gaterules.reasons(gate(trusted_error=0.1))) == []


def test_what_is_not_finite_is_told_once_where_the_record_says_why():
    everything = gate(
        not_finite={"tensor": "w", "value": "NaN", "how": "stored"},
        trusted_error=NOT_FINITE,
        timed_trusted=[NOT_FINITE] * 2,
        checks=[check("short", [NOT_FINITE] * 4, [NOT_FINITE] * 4)],
        tokens=[{"name": "wall", "regrets": [NOT_FINITE] * 2, "repeats": [NOT_FINITE] * 2}],
        rows=[{"name": "span", "unwritten": 0, "difference": NOT_FINITE, "of_tensor": NOT_FINITE}],
    )
    assert list(gaterules.reasons(everything)) == []
    unexplained = replace(everything, not_finite=ABSENT)
    said = [reason.partition(" (")[0] for reason in gaterules.reasons(unexplained)]
    assert len(said) == len(set(said)) > 3


def test_rows_may_differ_by_the_cap_and_those_of_one_tensor_by_half():
    def rows(**changes):
        return gate(rows=[{"name": "span", "unwritten": 0, "difference": 0.0, "of_tensor": 0.0, **changes}])

    assert list(gaterules.reasons(rows(difference=0.1, of_tensor=0.5))) == []
    (reason,) = gaterules.reasons(rows(difference=0.101))
    assert reason == "gate span: cache rows differ from the first pass's by 0.101, limit 0.1"
    (reason,) = gaterules.reasons(rows(of_tensor=0.501))
    assert reason == "gate span: cache rows of one tensor differ from the first pass's by 0.501, limit 0.5"
    (reason,) = gaterules.reasons(rows(unwritten=1))
    assert reason == "gate span: the cache rows of 1 timed steps were not written"
    (row,) = rows().rows
    older = replace(rows(), rows=(replace(row, of_tensor=ABSENT),))
    assert list(gaterules.reasons(older)) == []


def test_tokens_are_counted_and_the_worst_regret_told():
    tokens = [{"name": "busy", "regrets": [0.07, 0.04], "repeats": [4.0, 4.0]}]
    (reason,) = gaterules.reasons(gate(tokens=tokens))
    assert reason.startswith(
        "gate busy: 2 of 2 timed steps chose a token that the reference does not (the worst by 0.07"
    )


def test_version_1_bounds_errors_by_three_times_trusted_within_cap_and_noise():
    assert gaterules.error_bound(0.02, cap=0.1, noise=0.01) == 3 * 0.02
    assert gaterules.error_bound(0.05, cap=0.1, noise=0.01) == 0.1  # 0.15 is over the cap
    assert gaterules.error_bound(0.001, cap=0.1, noise=0.01) == 0.01  # 0.003 is under the noise


def test_a_ratio_is_the_geometric_mean_over_positions():
    assert gaterules.ratio([0.02, 0.08], [0.02, 0.02]) == pytest.approx(2.0)
    assert gaterules.ratio([0.0, 0.08], [0.02, 0.02]) == pytest.approx(4.0)  # a zero hides no other error
    assert gaterules.ratio([0.0, 0.0], [0.02, 0.02]) == 0.0
    assert gaterules.ratio([gaterules.NOT_FINITE, 0.02], [0.02, 0.02]) == gaterules.NOT_FINITE
    assert gaterules.ratio([0.02], [0.0]) == gaterules.NOT_FINITE


def repeating(repeats):
    """A gate whose 30 steps chose rightly; `repeats` are the regrets of the token of the step before."""
    tokens = [{"name": "wall", "chosen": [1] * 30, "regrets": [0.0] * 30, "repeats": repeats}]
    limits = {"regret_limit": 7, "stated_ratio": 1.0, "stated_spread": 0.05, "trusted_error": 0.01}
    return gate(**limits, checks=[], rows=[], timed_trusted=[0.01] * 30, tokens=tokens)


def test_a_session_whose_steps_cannot_be_told_from_doing_nothing_is_invalid():
    """At 3 of 30 positions the token of the step before would pass: 10 %; at 4 it is more."""
    assert list(gaterules.reasons(repeating([0.07] * 3 + [0.071] * 27))) == []
    (reason,) = gaterules.reasons(repeating([0.07] * 4 + [0.071] * 26))
    assert reason.startswith("gate tokens: at 13% of the timed steps the token of the step before would pass as well")


def test_a_gate_is_its_evidence_and_the_numbers_that_follow():
    """The larger numbers of two checks: trusted 0.02, error 0.03; 1.5 · 0.02 = 0.03, and √(1.5 · 1) and 1 as ratios."""
    checks = [check("short", [0.03, 0.02], [0.02, 0.02]), check("ctx", [0.01], [0.01], start=64)]
    tokens = [{"name": "wall", "chosen": [], "regrets": [0.03, 0.015], "repeats": [4.0, 0.03]}]
    found = gaterules.gate(gate(checks=checks, tokens=tokens))
    assert isinstance(found, GateVersion2)
    assert (found.trusted_error, found.error) == (0.02, 0.03)
    assert found.bound == pytest.approx(0.03)
    assert found.ratio == pytest.approx(1.5**0.5)
    assert (found.regret, found.repeatable) == (pytest.approx(0.5), 0.5)
    older = gaterules.gate(older_gate(checks=checks))
    assert isinstance(older, GateVersion1)
    assert (older.trusted_error, older.error, older.bound) == (0.02, 0.03, 0.06)
    assert (older.ratio, older.regret, older.repeatable) == (None, None, None)


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_each_check_of_version_1_has_errors_up_to_the_bound(wrong):
    def reasons(error):
        checks = [check(name, [0.02, 0.01], [0.02, 0.02]) for name in ("short", "ctx", "wall")]
        checks[wrong]["errors"][1] = error
        return list(gaterules.reasons(older_gate(checks=checks, bound=0.06)))

    assert reasons(0.06) == []
    name = ("short", "ctx", "wall")[wrong]
    assert reasons(0.061) == [f"gate {name}: logit error 0.061 exceeds the bound 0.06"]


def test_version_1_tells_of_errors_that_are_not_finite_only_where_the_record_does_not():
    checks = [check("short", [NOT_FINITE], [0.02]), check("ctx", [0.07], [0.02])]
    found = older_gate(checks=checks, bound=0.06)
    assert [reason.partition(":")[0] for reason in gaterules.reasons(found)] == ["gate short", "gate ctx"]
    explained = older_gate(checks=checks, bound=0.06, not_finite={"tensor": "w", "value": "NaN", "how": "stored"})
    assert [reason.partition(":")[0] for reason in gaterules.reasons(explained)] == ["gate ctx"]
    assert list(gaterules.reasons(older_gate(trusted_error=0.11, bound=1.0))) == [
        "trusted eager's error 0.11 exceeds the cap 0.1"
    ]


@pytest.mark.parametrize(
    ("error", "is_stated", "explained"),
    [(NOT_FINITE, True, True), (0.2, True, False), (2 * NOT_FINITE, True, False), (NOT_FINITE, False, False)],
)
def test_only_an_error_that_is_not_finite_is_explained_by_a_cause(error, is_stated, explained):
    cause = {"not_finite": {"tensor": "w", "value": "NaN", "how": "stored"}} if is_stated else {}
    assert gaterules.is_explained(gate(**cause), error) is explained


def test_what_is_exactly_at_its_limit_is_right():
    """A ratio and its limit of 1; the regrets 2 · 1.5 · 0.02 = 0.06 and 2 · 1.5 · 0.01 = 0.03."""
    assert list(gaterules.reasons(gate(stated_ratio=1.0, regret_limit=3))) == []
    assert (
        list(gaterules.reasons(gate(tokens=[{"name": "wall", "regrets": [0.06, 0.03], "repeats": [4.0, 4.0]}]))) == []
    )
    (reason,) = gaterules.reasons(gate(tokens=[{"name": "wall", "regrets": [0.06, 0.0301], "repeats": [4.0, 4.0]}]))
    assert reason.startswith("gate wall: 1 of 2 timed steps chose a token")


def test_series_of_unequal_lengths_are_judged_by_what_they_share():
    """`runner verify` names the missing values; a verdict needs none of them."""
    assert gaterules.ratio([0.04, 0.08], [0.02]) == pytest.approx(2.0)
    assert gaterules.spread([0.04], [0.02, 0.02]) == 0.0
    checks = [check("short", [0.02] * 3, [0.02] * 4), check("ctx", [0.02] * 4, [0.02] * 3, start=64)]
    tokens = [{"name": "wall", "regrets": [0.0], "repeats": [4.0]}, {"name": "span", "regrets": [0.0] * 3}]
    found = gate(checks=checks, tokens=tokens)
    assert list(gaterules.reasons(found)) == []
    assert gaterules.worst_regret(found) == gaterules.repeatable(found) == 0.0


def test_a_trusted_error_of_zero_has_no_logarithm():
    assert gaterules.spread([0.05, 0.02], [0.02, 0.0]) == 0.0
