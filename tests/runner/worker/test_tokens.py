"""Prompt and trace: drawn from the seed, over the whole vocabulary, and consumed whatever was chosen."""

import pytest
import torch

from runner.worker import tokens

CPU = torch.device("cpu")


def drawn(seed, vocab=512, count=200):
    return tokens.draw(vocab, count, seed, CPU)


def test_the_same_seed_draws_the_same_and_another_others():
    first = drawn(1).sequence
    assert torch.equal(first, drawn(1).sequence)
    for other in (0, 2):
        # two of 512 tokens are equal by chance once in 512
        assert (first != drawn(other).sequence).sum() > 180


def test_what_is_drawn_before_changes_nothing():
    first = drawn(1).sequence
    torch.manual_seed(5)
    torch.rand(3)
    assert torch.equal(first, drawn(1).sequence)


def test_every_token_of_the_vocabulary_is_drawn_alike():
    """10 000 of each of five on average, with a standard deviation of √(50000 · 0.2 · 0.8) = 89."""
    counts = drawn(0, vocab=5, count=50_000).sequence.bincount(minlength=5)
    assert len(counts) == 5
    assert (counts - 10_000).abs().max() < 5 * 89


@pytest.mark.parametrize(("forced", "token"), [(True, 7), (False, 3)])
def test_the_trace_is_consumed_while_it_is_forced_and_the_choice_is_where_it_is_not(forced, token):
    found = tokens.Tokens(torch.tensor([5, 6, 7, 8]), torch.tensor([forced]))
    consumed = found.next(torch.tensor([2]), torch.tensor([3]))
    assert consumed.tolist() == [token]
    assert consumed.dtype == torch.int64


def test_a_session_forces_its_trace():
    assert drawn(0).forced.tolist() == [True]
