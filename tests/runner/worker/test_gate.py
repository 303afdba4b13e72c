"""The gate writes down what arithmetic gives, position by position; test_gate_mutants.py has its verdicts."""

import math

import pytest
import torch

from runner.cell import catalogue, floors
from runner.cell.protocol import NAMED, Protocol
from runner.declarations import POISON
from runner.record import gaterules
from runner.worker import gate, model, reference, tokens
from tests.support.gate_steps import (
    COUNT,
    EXPECTED,
    POSITIONS,
    RIGHT,
    START,
    TRUSTED,
    Pair,
    Step,
    by_hand,
    rows,
    slightly,
)


def test_each_error_is_that_of_its_own_position():
    own = slightly(1)
    step = Step(own)
    found = gate.drive("short", step, START, EXPECTED)
    assert step.calls == [f"restart {START}", f"poison {START}", *["step"] * COUNT]
    assert found.name == "short"
    assert found.positions == POSITIONS
    assert found.errors == tuple(by_hand(*pair) for pair in zip(own, RIGHT, strict=True))
    assert min(found.errors) > 0
    assert len(set(found.errors)) == COUNT
    assert found.trusted == TRUSTED


@pytest.mark.parametrize("wrong", range(COUNT))
def test_one_wrong_position_is_the_one_that_is_seen(wrong):
    own = RIGHT.clone()
    own[wrong] *= 2
    assert gate.drive("short", Step(own), START, EXPECTED).errors == tuple(float(each == wrong) for each in range(8))


def test_an_error_is_measured_in_the_references_norm():
    # ‖(3, 4) − (0, 2)‖ / ‖(0, 2)‖ = √(9 + 4) / 2 = 1.803
    assert gate.relative_error(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 2.0])) == 1.803


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_the_largest_error(value):
    assert gate.relative_error(torch.tensor([value, 1.0]), torch.ones(2)) == gaterules.NOT_FINITE
    assert gate.relative_error(torch.ones(2), torch.zeros(2)) == gaterules.NOT_FINITE


def test_a_regret_is_told_for_every_token_of_the_vocabulary_and_no_other():
    right = torch.tensor([[1.0, 3.0, -1.0, -1.0]])  # root mean square √(12 / 4) = 1.732
    expected = gate.Expectation((17,), right, (0.01,), True, 1)
    regrets = [expected.regret(token, 17) for token in range(-1, 5)]
    assert regrets == [gaterules.NOT_FINITE, 1.155, 0.0, 2.309, 2.309, gaterules.NOT_FINITE]
    assert expected.margin(17) == 1.155


def test_where_the_reference_is_no_number_nothing_is_decided():
    expected = gate.Expectation((17,), torch.tensor([[math.nan, 1.0, 0.0]]), (0.01,), False, 1)
    assert expected.regret(1, 17) == gaterules.NOT_FINITE
    assert expected.margin(17) == 0.0


def test_the_positions_checked_are_those_from_17_from_ctx_and_of_the_timed_steps():
    # 64 + 5 + 30 = 99 tokens: 32 steps from 17, 32 from 64, and the timed ones 69 … 98
    found = gate.checked_positions(64, Protocol("paper", 5, 30))
    assert found == (*range(17, 49), *range(64, 99))
    # of 64 + 40 + 50 = 154: 32 from each, 64 … 95, and timed 104 … 153
    assert gate.checked_positions(64, Protocol("custom", 40, 50)) == (*range(17, 49), *range(64, 96), *range(104, 154))


def test_a_float32_cell_is_held_against_float64_and_others_against_float32():
    found = {dtype: gate.reference_dtype(dtype) for dtype in model.DTYPES.values()}
    assert found == {
        torch.bfloat16: torch.float32,
        torch.float16: torch.float32,
        torch.float32: torch.float64,
    }


@pytest.fixture(scope="module")
def built():
    shape = catalogue.models()["tiny"].shape
    with torch.inference_mode():
        return model.build_synthetic(model.Build(shape, "bf16", None, torch.bfloat16, torch.device("cpu")))


def expect(built):
    shape = catalogue.models()["tiny"].shape
    drawn = tokens.draw(shape.vocab, floors.sequence_tokens(20, 5, 30), 3, torch.device("cpu"))
    with torch.inference_mode():
        return gate.expect(built, shape, drawn, 20, NAMED["paper"]), drawn.sequence


@pytest.mark.medium
def test_what_is_expected_comes_from_one_reference_pass_and_one_of_transformers(built):
    found, sequence = expect(built)
    # 20 + 5 + 30 = 55 tokens: 32 steps from 17 and from 20, 17 … 51, and timed ones to 54
    assert found.positions == tuple(range(17, 55))
    assert (found.driven, found.finite) == (32, True)
    with torch.inference_mode():
        right = reference.for_model(built, catalogue.models()["tiny"].shape, torch.float32).logits(
            sequence, torch.tensor(found.positions)
        )
        trusted = built(input_ids=sequence[None], use_cache=False).logits[0, 17:].float()
    torch.testing.assert_close(found.logits, right)
    errors = ((trusted - right).norm(dim=1) / right.norm(dim=1)).tolist()
    # another shape of the products rounds otherwise, now and then
    assert found.trusted == pytest.approx(errors, rel=0.3)
    assert found.trusted_error(30) == found.trusted[13]


@pytest.mark.medium
def test_trusted_eager_keeps_no_cache(built):
    asked = []
    hook = built.register_forward_pre_hook(lambda _model, _inputs, named: asked.append(named), with_kwargs=True)
    try:
        expect(built)
    finally:
        hook.remove()
    (named,) = asked
    assert named["use_cache"] is False
    assert "past_key_values" not in named


def test_after_it_the_models_mlps_are_their_own_again(built):
    with gate._mlp_in_token_blocks(built):
        assert all("forward" in vars(layer.mlp) for layer in built.model.layers)
    assert not any("forward" in vars(layer.mlp) for layer in built.model.layers)


def test_an_mlp_says_the_same_of_tokens_in_blocks(built, monkeypatch):
    monkeypatch.setattr(gate, "TRUSTED_TOKEN_BLOCK", 4)
    mlp = built.model.layers[0].mlp
    x = torch.randn(1, 10, 128, dtype=torch.bfloat16)
    sizes = []
    with torch.inference_mode():
        whole = mlp(x)
        monkeypatch.setattr(mlp, "forward", lambda block: sizes.append(block.shape[1]) or type(mlp).forward(mlp, block))
        torch.testing.assert_close(gate._blocked(mlp.forward)(x), whole, rtol=0.02, atol=0.02)
    assert sizes == [4, 4, 2]


@pytest.mark.medium
@pytest.mark.parametrize("broken", ["reference", "trusted"])
def test_one_of_the_two_that_is_not_finite_is_enough(built, monkeypatch, broken):
    """Activations may leave float16 and not float32, and a weight may be lost on one way alone."""

    def spoilt(function):
        def poison(*arguments):
            found = function(*arguments).clone()
            found[0, 0] = math.nan
            return found

        return poison

    if broken == "trusted":
        monkeypatch.setattr(gate, "trusted_logits", spoilt(gate.trusted_logits))
    else:
        monkeypatch.setattr(reference.Reference, "logits", spoilt(reference.Reference.logits))
    assert not expect(built)[0].finite


def test_a_row_is_unwritten_where_any_of_its_tensors_is():
    left = rows(1.0, 2.0, 3.0)
    assert gate.compare_rows("wall", left, left, 3).unwritten == 0
    left[0, 1] = POISON
    left[2] = POISON
    left[1, 0, :3] = POISON  # a value may well be the poison's
    assert gate.compare_rows("wall", left, left, 3).unwritten == 2
    assert gate.compare_rows("wall", left[:1], left[:1], 3).unwritten == 3  # two rows are not even there


def test_a_pass_that_left_fewer_rows_is_compared_by_those_that_are_there():
    """A growing cache ends where the steps did."""
    first = rows(1.0, 2.0, 3.0)
    found = gate.compare_rows("rate", first[:2] * 2, first, 3)
    assert (found.unwritten, found.difference) == (1, 1.0)
    assert gate.compare_rows("rate", first, first[:2], 3).difference == 0.0
    assert gate.compare_rows("rate", first[:0], first, 3) == gate.Rows("rate", 3, 0.0, 0.0)


def test_rows_of_a_short_dtype_are_compared_in_float32():
    first = torch.randn(1, 1, 512, generator=torch.Generator().manual_seed(4)).bfloat16()
    left = (first.float() * 1.02).bfloat16()
    found = gate.compare_rows("rate", left, first, 1)
    assert found.difference == pytest.approx(by_hand(left.double().flatten(), first.double().flatten()), abs=1e-6)


def test_rows_differ_by_the_worst_row_and_the_worst_tensor():
    """Row 1: one of two tensors of (2, 2, 2, 2) is (1, 1, 1, 1): 2 of a norm of 4, and 2 of 4√2 as one row."""
    first = rows(1.0, 2.0, 3.0)
    left = first.clone()
    left[1, 1] = 1.0
    found = gate.compare_rows("rate", left, first, 3)
    assert (found.difference, found.of_tensor) == (0.3536, 0.5)
    # measured by the first pass's: 2 of 2 the other way round, and √(8) of 2√5 … as one row
    turned = gate.compare_rows("rate", first, left, 3)
    assert (turned.difference, turned.of_tensor) == (0.4472, 1.0)  # 2 / √(16 + 4)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_rows_that_are_no_numbers_differ_by_the_largest(value):
    left = rows(1.0, value, 3.0)
    found = gate.compare_rows("rate", left, rows(1.0, 2.0, 3.0), 3)
    assert (found.difference, found.of_tensor) == (gaterules.NOT_FINITE, gaterules.NOT_FINITE)


def test_a_step_is_held_against_eager_and_eager_against_itself():
    first, again, own = RIGHT.clone(), RIGHT * 1.01, RIGHT * 1.1
    own[3] = first[3]
    own[5] = first[5].flip(0)
    found = gate.compare_with_eager("ctx", Pair(own, first, again), START, EXPECTED)
    assert found.positions == POSITIONS
    assert found.equal == tuple(index == 3 for index in range(COUNT))
    assert found.differences == tuple(by_hand(*pair) for pair in zip(own, first, strict=True))
    assert found.repeats == (0.01,) * COUNT
    assert found.same_token == tuple(index != 5 for index in range(COUNT))
    assert found.margins == tuple(map(EXPECTED.margin, POSITIONS))
    assert len(set(found.margins)) == COUNT


def test_steps_of_a_short_dtype_are_compared_in_float64():
    """bfloat16 has some three digits, of which a sum of 512 squares would leave fewer."""
    theirs = torch.randn(512, generator=torch.Generator().manual_seed(4)).bfloat16()
    ours = (theirs.float() * 1.02).bfloat16()
    assert gate._differences([ours], [theirs]) == (by_hand(ours.double(), theirs.double()),)
    assert gate.relative_error(ours, theirs) != by_hand(ours.double(), theirs.double())


def test_a_nan_is_an_error_not_a_pass():
    assert gate.relative_error(torch.tensor([float("nan"), 1.0]), torch.ones(2)) == gate.NOT_FINITE


def test_one_wrong_tensor_shows_in_its_own_row_and_hardly_in_all():
    """32 tensors of norm 8 each: the row as a whole differs by √(8² / (32 · 8²)) = 0.177 where one of them is zero."""
    first = torch.ones(3, 32, 64)
    left = first.clone()
    left[1, 5] = 0
    found = gate.compare_rows("rate", left, first, 3)
    assert found.difference == pytest.approx(32**-0.5, rel=1e-3)
    assert found.of_tensor == 1.0


def test_a_regret_is_how_far_the_reference_prefers_another_token():
    logits = torch.tensor([[3.0, 1.0, -1.0, -1.0]])  # root mean square sqrt(12 / 4) = sqrt 3
    expectation = gate.Expectation((17,), logits, (0.01,), True, 1)
    assert expectation.regret(0, 17) == 0.0
    assert expectation.regret(1, 17) == pytest.approx(2 / 3**0.5, rel=1e-3)
    assert expectation.regret(4, 17) == gaterules.NOT_FINITE
    assert expectation.margin(17) == pytest.approx(2 / 3**0.5, rel=1e-3)


def test_the_margin_of_two_tokens_is_the_distance_between_them():
    """3 and 1: root mean square √(10 / 2), margin 2 / √5 = 0.8944; two equal best tokens have none."""
    expected = gate.Expectation((17, 18), torch.tensor([[1.0, 3.0], [2.0, 2.0]]), (0.01, 0.01), True, 1)
    assert (expected.margin(17), expected.margin(18)) == (0.8944, 0.0)


def test_a_repeated_token_is_held_against_the_position_after_its_own():
    """Two tokens, and the reference prefers token 0 at 17, token 1 at 18 by a margin of 2 / √5."""
    expected = gate.Expectation((17, 18), torch.tensor([[3.0, 1.0], [1.0, 3.0]]), (0.01, 0.01), True, 1)
    found = gate.compare_tokens("wall", range(17, 19), (0, 1), 1, expected)
    assert found.regrets == (0.0, 0.0)
    assert found.repeats == (0.8944, 0.8944)  # token 1 at 17, token 0 at 18
