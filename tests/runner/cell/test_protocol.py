"""Protocols: their counts, and the least that each may have."""

import pytest

from runner.cell import protocol
from runner.cell.protocol import Protocol
from runner.errors import BadValue


def test_the_named_protocols_are_the_papers_and_one_that_states_a_p99():
    assert {name: (one.warmup, one.steps) for name, one in protocol.NAMED.items()} == {
        "paper": (5, 30),
        "tail": (5, 300),
    }


@pytest.mark.parametrize("percent", protocol.TAIL_STEPS)
def test_a_tail_needs_as_many_steps_as_leave_one_in_twenty_without_an_excess(percent):
    fewest = protocol.TAIL_STEPS[percent]
    assert (percent / 100) ** fewest <= 0.05 < (percent / 100) ** (fewest - 1)


@pytest.mark.parametrize(
    ("name", "warmup", "steps", "chosen"),
    [
        ("paper", None, None, Protocol("paper", 5, 30)),
        ("paper", 5, 30, Protocol("paper", 5, 30)),
        ("paper", 1, None, Protocol("custom", 1, 30)),
        ("paper", None, 3, Protocol("custom", 5, 3)),
        ("tail", None, 29, Protocol("custom", 5, 29)),
        ("paper", 0, None, None),
        ("paper", None, 2, None),
        ("tail", None, 28, None),
    ],
)
def test_the_least_counts(name, warmup, steps, chosen):
    if chosen is None:
        with pytest.raises(BadValue):
            protocol.choose(name, warmup, steps)
    else:
        assert protocol.choose(name, warmup, steps) == chosen
