"""Remedies for a lack of data: each way, once followed, gives enough of it."""

from __future__ import annotations

import pytest

from analysis.choose import missingdata, ruling
from analysis.choose.limits import Limits
from runner.cell import protocol
from runner.record import tails

PLACE = ("qwen2.5-7b", 2048)


def steps_of(said: str) -> tuple[str, int, int]:
    """Returns the protocol that a remedy names, with its windows and their steps."""
    words = said.rpartition("`")[0].split()
    name = words[words.index("--protocol") + 1]
    steps = int(words[words.index("--steps") + 1]) if "--steps" in words else None
    counts = protocol.choose(name, None, steps)
    return name, counts.windows, counts.steps


@pytest.mark.parametrize("word", [ruling.FEW_STEPS, ruling.FEW_SESSIONS, ruling.NO_STEPS])
@pytest.mark.parametrize("miss", [0.1, 0.05, 0.01, 0.002, 0.001])
@pytest.mark.parametrize("tokens", [1, 8, 301])
def test_the_steps_that_it_names_bound_the_probability_although_they_are_correlated(word, miss, tokens) -> None:
    said = missingdata.remedy(word, Limits(miss=miss, tokens=tokens), *PLACE)
    if said == missingdata.HOPELESS:
        assert (tokens, miss) in {(301, 0.002), (301, 0.001)}
        return
    _, windows, steps = steps_of(said)
    n_eff = windows * (steps // tokens) / missingdata.EXPECTED_TAU
    assert tails.upper_bound(0, n_eff) <= miss
    assert "at least 3 sessions" in said


def test_the_shortest_protocol_that_suffices_is_named() -> None:
    def named(**limits) -> tuple[str, int, int]:
        return steps_of(missingdata.remedy(ruling.FEW_STEPS, Limits(**limits), *PLACE))

    assert named(miss=0.05) == ("tail", 1, 300)
    assert named(miss=0.01) == ("tail-long", 10, 300)
    assert named(miss=0.001) == ("tail-long", 10, 599)  # 2 · ln 0.05 / ln 0.999 = 5989 steps
    assert named(miss=0.001, tokens=8) == ("tail-long", 10, 4792)
    assert named(tokens=301) == ("tail", 1, 301)
    assert named(tokens=8) == ("tail", 1, 300)


def test_more_steps_than_the_model_has_positions_are_not_asked_for() -> None:
    assert missingdata.remedy(ruling.FEW_STEPS, Limits(tokens=10**9), *PLACE) == missingdata.HOPELESS
    assert "--steps" in missingdata.remedy(ruling.FEW_STEPS, Limits(tokens=10**9), "a model of nobody", 2048)


def test_other_data_have_ways_of_their_own() -> None:
    said = [
        missingdata.remedy(word, Limits(), *PLACE) for word in (ruling.NO_PRICE, ruling.NO_ENERGY, ruling.UNCERTAIN)
    ]
    for text, part in zip(said, ("--price", "--energy", "python -m runner cell"), strict=True):
        assert part in text
