"""A checkpoint's trace: the model's own continuation, of which neighbouring steps answer differently."""

from types import SimpleNamespace

import pytest
import torch

from runner.cell import catalogue
from runner.runtimes.eager import EagerStep
from runner.worker import caches, model, tokens, trace

DEVICE = torch.device("cpu")


class Toy:
    """A step over twelve tokens, whose best three after each token `answers` gives; it keeps what it consumed."""

    def __init__(self, answers, sequence):
        self.tokens = SimpleNamespace(sequence=torch.tensor(sequence))
        self.answers, self.position, self.logits = answers, 0, torch.zeros(12)
        self.consumed = []

    def prefill(self, count):
        self.position = count - 1
        return self()

    def restart(self, position):
        self.position = position

    def __call__(self):
        token = int(self.tokens.sequence[self.position])
        self.consumed.append((self.position, token))
        self.position += 1
        self.logits = torch.zeros(12)
        for rank, best in enumerate(self.answers(token)):
            self.logits[best] = (10.0, 4.0, 1.0)[rank]
        return self.logits.argmax(keepdim=True)


def test_where_answers_differ_the_trace_is_greedy():
    """Every token is answered by its successor."""
    toy = Toy(lambda token: [(token + 1) % 12], [5, 5, 0, 0, 0, 0])
    trace.write(toy, 2, 6)
    assert toy.tokens.sequence.tolist() == [5, 5, 6, 7, 8, 9]


def test_a_token_that_is_answered_as_the_one_before_is_passed_over():
    """All tokens but 3 are answered by 9, then 3, then 4: greedy would be nines without end."""
    toy = Toy(lambda token: [1, 9, 4] if token == 3 else [9, 3, 4], [5, 5, 0, 0, 0, 0])
    trace.write(toy, 2, 6)
    # after the prompt's 9: 9 answers 9 again, 3 answers 1. Its best, 1, answers 9, which differs; then 3 once more
    assert toy.tokens.sequence.tolist() == [5, 5, 3, 1, 3, 1]
    assert toy.consumed == [(1, 5), (2, 9), (2, 3), (3, 1), (4, 9), (4, 3), (5, 1)]


def test_where_all_answer_alike_the_least_alike_is_taken_and_left_in_the_cache():
    """The answer is 9 after every token but 4; there 9 is close behind."""

    class Alike(Toy):
        def __call__(self):
            token = super().__call__()
            if self.consumed[-1][1] == 4:
                self.logits = torch.zeros(12)
                self.logits[11], self.logits[9] = 10.0, 9.0  # 1.0 of a root mean square of 3.9 apart
                return torch.tensor([11])
            return token

    toy = Alike(lambda _: [9, 3, 4], [5, 5, 0])
    trace.write(toy, 2, 3)
    tried = [token for position, token in toy.consumed if position == 2]
    assert len(tried) == trace.CANDIDATES + 1
    assert tried[-1] == int(toy.tokens.sequence[2]) == 4


@pytest.mark.medium
@pytest.mark.parametrize("seed", [0, 1])
def test_eager_continues_its_own_prompt(seed):
    """Each token is one of the eight likeliest after those before it, and most are the likeliest."""
    shape = catalogue.models()["tiny"].shape
    with torch.inference_mode():
        built = model.build_synthetic(model.Build(shape, "bf16", None, torch.float32, DEVICE))
        drawn = tokens.draw(shape.vocab, 40, seed, DEVICE)
        prompt = drawn.sequence[:24].clone()
        trace.write(EagerStep(built, caches.make("dynamic", built, 0), drawn), 24, 40)
        logits = built(input_ids=drawn.sequence[None], use_cache=False).logits[0]
    assert torch.equal(drawn.sequence[:24], prompt)
    best = logits.argmax(dim=-1)
    assert (best[24:40] != best[23:39]).all()
    before = logits[23:39]
    ranks = (before > before.gather(1, drawn.sequence[24:40, None])).sum(dim=1)
    assert ranks.max() < trace.CANDIDATES
    assert (ranks == 0).sum() > 8
