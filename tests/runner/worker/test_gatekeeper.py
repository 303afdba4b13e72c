"""The evidence of a pass: logits, tokens and cache rows, each compared with its own position."""

import pytest

from runner.cell.cell import Cell
from runner.cell.fieldtypes import ABSENT, value_or_none
from runner.record.sections.gate import NotFinite
from runner.worker import gate
from runner.worker.gatekeeper import Gatekeeper
from runner.worker.notfinite import ALL_FINITE
from tests.support.gate_steps import EXPECTED, RIGHT, START, TIMED, Pair, Step, by_hand, rows, slightly

CELL = Cell("cpu", "tiny", 64, "bf16", "torch-cpu", "eager", "sdpa", "static", "bf16", "synthetic-v1", {})


def keeper(step, fault=None):
    return Gatekeeper(step, EXPECTED, TIMED, fault)


def left_at(position, own=RIGHT, left=(1.0, 2.0, 3.0)):
    """A step whose last logits are those of `position`, and the rows it left."""
    step = Step(own, rows(*left))
    step.logits.copy_(own[position - START])
    return step


def test_what_a_pass_leaves_is_held_against_the_last_timed_position():
    own = slightly(2)
    step = left_at(24, own)
    found = keeper(step)
    found.check_pass("wall", (1, 2, 3), 0, 3)
    (check,) = found.checks
    assert check.positions == (24,)
    assert check.errors == (by_hand(own[7], RIGHT[7]),)
    assert check.trusted == (0.08,)
    assert step.calls == ["rows 22 25"]


def test_each_token_is_held_against_its_own_position_and_each_repeat_is_the_token_before():
    found = keeper(left_at(24))
    found.check_pass("wall", (1, 2, 3), 4, 3)
    (each,) = found.tokens
    assert (each.name, each.chosen) == ("wall", (1, 2, 3))
    assert each.regrets == tuple(EXPECTED.regret(token, at) for token, at in ((1, 22), (2, 23), (3, 24)))
    assert each.repeats == tuple(EXPECTED.regret(token, at) for token, at in ((4, 22), (1, 23), (2, 24)))
    assert len({*each.regrets, *each.repeats}) == 6


def test_a_pass_without_read_back_has_no_tokens():
    found = keeper(left_at(24))
    found.check_pass("rate", (), 4, 3)
    assert found.tokens == []
    assert [check.name for check in found.checks] == ["rate"]


def test_rows_of_later_passes_are_held_against_those_of_the_first():
    step = left_at(24)
    found = keeper(step)
    for left in ((1.0, 2.0, 3.0), (1.0, 2.0, 3.3), (1.0, 2.0, 3.3)):
        step.left = rows(*left)
        found.check_pass("pass", (), 0, 3)
    assert [each.difference for each in found.rows] == [0.0, 0.1, 0.1]  # 0.3 of 3


def test_the_section_has_trusted_eagers_errors_at_the_timed_positions():
    found = keeper(left_at(24)).evidence(CELL, 128, synthetic=True)
    assert found.timed_trusted == (0.06, 0.07, 0.08)
    assert found.not_finite is ABSENT
    assert found.eager is ABSENT


def check_of(errors, trusted):
    return gate.Check("short", (17, 18), errors, trusted)


@pytest.mark.parametrize(
    ("errors", "trusted", "fault", "said"),
    [
        ((0.1, 0.1), (0.1, 0.1), None, None),
        ((0.1, 1e9), (0.1, 0.1), None, ALL_FINITE),  # the path under test alone
        ((0.1, 1e9), (0.1, 1e9), None, None),  # trusted eager as well: the session looks for the fault itself
        ((0.1, 0.1), (0.1, 0.1), NotFinite("w", "NaN", "stored"), NotFinite("w", "NaN", "stored")),
    ],
)
def test_why_logits_are_not_finite_is_said_where_one_of_them_is(errors, trusted, fault, said):
    found = keeper(left_at(24), fault)
    found.checks.append(check_of(errors, trusted))
    assert value_or_none(found.evidence(CELL, 128, synthetic=True).not_finite) == said


def test_a_step_that_is_eager_itself_is_likened_to_nothing():
    found = keeper(Step(RIGHT))
    found.drive("short", START)
    assert found.likenesses == []
    assert [check.name for check in found.checks] == ["short"]


def test_a_step_made_of_eager_is_likened_wherever_it_is_driven():
    found = keeper(Pair(RIGHT, RIGHT, RIGHT))
    found.drive("short", START)
    assert [each.name for each in found.evidence(CELL, 128, synthetic=True).eager] == ["short"]


def test_of_repeated_steps_the_worst_token_of_each_position_is_checked():
    found = keeper(left_at(24))
    # three positions twice; the regrets decide which of two tokens is the worse
    found.check_repeated("energy", [1, 2, 3, 4, 2, 5], 0)
    (each,) = found.tokens
    worst = [
        max(pair, key=lambda token, at=at: EXPECTED.regret(token, at))
        for pair, at in (((1, 4), 22), ((2, 2), 23), ((3, 5), 24))
    ]
    assert each.chosen == tuple(worst)
    assert each.regrets == tuple(EXPECTED.regret(token, at) for token, at in zip(worst, TIMED, strict=True))
    assert [check.name for check in found.checks] == [rows.name for rows in found.rows] == ["energy"]


def test_a_shorter_pass_is_held_against_its_own_last_position():
    step = left_at(23)
    found = keeper(step)
    found.check_pass("span", (1, 2), 0, 2)
    (check,) = found.checks
    assert (check.positions, check.trusted) == ((23,), (0.07,))
    assert step.calls == ["rows 22 24"]
    assert found.tokens[0].chosen == (1, 2)


def test_windows_with_the_same_tokens_keep_them_once():
    found = keeper(left_at(24))
    for name, chosen in (("one", (1, 2, 3)), ("two", (1, 2, 4)), ("three", (1, 2, 3)), ("four", (1, 2, 3))):
        found.check_pass(name, chosen, 4, 3, is_window=True)
    assert [(each.name, each.chosen, each.also) for each in found.tokens] == [
        ("one", (1, 2, 3), ("three", "four")),
        ("two", (1, 2, 4), ABSENT),
    ]
    assert [each.passes for each in found.tokens] == [("one", "three", "four"), ("two",)]
    assert [check.name for check in found.checks] == [each.name for each in found.rows]
    assert [check.name for check in found.checks] == ["one", "two", "three", "four"]


def test_a_window_after_another_last_token_of_the_warm_up_is_another_one():
    found = keeper(left_at(24))
    found.check_pass("one", (1, 2, 3), 4, 3, is_window=True)
    found.check_pass("two", (1, 2, 3), 5, 3, is_window=True)
    assert [each.also for each in found.tokens] == [ABSENT, ABSENT]


def test_passes_that_are_no_windows_each_have_their_tokens():
    found = keeper(left_at(24))
    for name in ("wall", "span"):
        found.check_pass(name, (1, 2, 3), 4, 3)
    assert [(each.name, each.also) for each in found.tokens] == [("wall", ABSENT), ("span", ABSENT)]
