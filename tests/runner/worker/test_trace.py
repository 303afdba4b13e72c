"""A checkpoint's trace: random tokens, of which neighbouring steps answer differently."""

import pytest
import torch

from runner.worker import trace

VOCAB, TIMED = 1000, range(64, 94)


class Answering:
    """Logits after each token of a sequence: the best token of each is the one that `best` gives."""

    def __init__(self, best):
        self.best, self.passes = best, 0

    def __call__(self, sequence, positions):
        self.passes += 1
        logits = torch.zeros(len(positions), VOCAB)
        for row, position in enumerate(positions.tolist()):
            logits[row, self.best(int(sequence[position]))] = 10.0
        return logits


def sequence_of(seed=0):
    return torch.randint(VOCAB, (100,), generator=torch.Generator().manual_seed(seed))


def settled(best):
    answers, sequence = Answering(best), sequence_of()
    trace.settle(sequence, TIMED, VOCAB, 0, answers)
    return answers, sequence


def test_tokens_that_are_answered_differently_stay_as_they_were_drawn():
    answers, sequence = settled(lambda token: token)
    assert answers.passes == 1
    assert torch.equal(sequence, sequence_of())


def test_tokens_whose_answer_repeats_are_drawn_again():
    """Half of the tokens are answered by 7: a quarter of the steps repeats the one before."""
    answers, sequence = settled(lambda token: 7 if token % 2 else token)
    before, after = sequence_of(), sequence
    changed = torch.nonzero(before != after).squeeze(1).tolist()
    assert changed
    assert set(changed) <= set(TIMED)
    assert all(before[position] % 2 for position in changed)
    assert 1 < answers.passes < trace.ROUNDS
    left = trace.repeats(Answering(answers.best)(after, torch.arange(63, 94)))
    assert len(left) <= 1  # of 30, where the gate allows 3
    assert torch.equal(settled(answers.best)[1], after)  # the same for the same seed


def test_a_model_that_says_one_thing_alone_is_given_up():
    answers, _ = settled(lambda _: 7)
    assert answers.passes == trace.ROUNDS


@pytest.mark.parametrize(("second", "repeated"), [(9.7, [0]), (9.3, [])])
def test_an_answer_repeats_where_the_one_before_is_still_close(second, repeated):
    """The root mean square of four logits, 10 and three of 0 but one, is √((10² + s²) / 4): 6.97 or 6.83; a quarter of
    it is 1.74 or 1.71."""
    shift = 10.0 - second
    logits = torch.tensor([[0.0, 10.0, 0.0, 0.0], [10.0, 10.0 - 5 * shift, 0.0, 0.0]])
    assert trace.repeats(logits).tolist() == repeated
