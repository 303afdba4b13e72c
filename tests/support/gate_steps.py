"""Steps whose logits a test chooses, and what the gate expects of them: positions 17 to 24 of a vocabulary of six."""

import math

import torch

from runner.worker import gate

VOCAB, START, COUNT, TIMED = 6, 17, 8, range(22, 25)
POSITIONS = tuple(range(START, START + COUNT))


def random(seed):
    return torch.randn(COUNT, VOCAB, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


RIGHT = random(0)
TRUSTED = tuple(round(0.01 * (index + 1), 2) for index in range(COUNT))  # 0.01 … 0.08, each its own
EXPECTED = gate.Expectation(POSITIONS, RIGHT, TRUSTED, True, COUNT)


class Step:
    """Leaves the logits [position] in one buffer, as a graph's replay does, and chooses their largest."""

    runtime, eager = "eager", None

    def __init__(self, logits, rows=None):
        self.told, self.logits, self.left = logits, torch.zeros(VOCAB, dtype=torch.float64), rows
        self.calls = []

    def restart(self, position):
        self.calls.append(f"restart {position}")
        self.position = position

    def poison(self, position):
        self.calls.append(f"poison {position}")

    def __call__(self):
        self.calls.append("step")
        self.logits.copy_(self.told[self.position - START])
        self.position += 1
        return self.logits.argmax(keepdim=True)

    def rows(self, start, stop):
        self.calls.append(f"rows {start} {stop}")
        return self.left


class Pair(Step):
    """A step that is made of another; that one leaves other logits at its second run than at its first."""

    def __init__(self, own, first, again):
        super().__init__(own)
        self.eager = Turns(first, again)


class Turns(Step):
    def __init__(self, *runs):
        super().__init__(None)
        self.runs = iter(runs)

    def restart(self, position):
        super().restart(position)
        self.told = next(self.runs)


def by_hand(own, right):
    """‖own − right‖ / ‖right‖, by plain Python, to four digits."""
    difference = math.sqrt(sum((one - other) ** 2 for one, other in zip(own.tolist(), right.tolist(), strict=True)))
    return float(f"{difference / math.sqrt(sum(other**2 for other in right.tolist())):.4g}")


def slightly(seed, share=0.03):
    """Logits that differ from the right ones, at each position by another share."""
    return RIGHT + share * random(seed) * torch.arange(1, COUNT + 1)[:, None]


def rows(*values):
    """One row of two tensors of 4 values for each timed step."""
    return torch.tensor(values)[:, None, None].expand(len(values), 2, 4).clone()
