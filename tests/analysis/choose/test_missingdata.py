"""Remedies for a lack of data: each way, once followed, gives enough of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.choose import missingdata, ruling
from analysis.choose.chooserow import ChooseRow
from analysis.choose.limits import Limits
from runner.cell import protocol
from runner.record import tails
from tests.support.candidates import published, row_of


def steps_of(said: str) -> tuple[str, int, int]:
    """Returns the protocol that a remedy names, with its windows and their steps."""
    words = said.rpartition("`")[0].split()
    name = words[words.index("--protocol") + 1]
    steps = int(words[words.index("--steps") + 1]) if "--steps" in words else None
    counts = protocol.choose(name, None, steps)
    return name, counts.windows, counts.steps


def lacking(tau: float | None = None, model: str = "qwen2.5-7b") -> ChooseRow:
    """A row of the model at ctx 2048 whose worst session has this autocorrelation time."""
    return replace(row_of(published(10.0)), tau=tau, model=model)


@pytest.mark.parametrize("word", [ruling.FEW_STEPS, ruling.FEW_SESSIONS, ruling.NO_STEPS])
@pytest.mark.parametrize("miss", [0.1, 0.05, 0.01, 0.002, 0.001])
@pytest.mark.parametrize("tokens", [1, 8, 301])
@pytest.mark.parametrize("tau", [None, 1.2, 2.4])
def test_the_steps_that_it_names_bound_the_probability_although_they_are_correlated(word, miss, tokens, tau) -> None:
    said = missingdata.remedy(word, Limits(miss=miss, tokens=tokens), [lacking(), lacking(tau)])
    if said.endswith(missingdata.HOPELESS):
        assert tokens == 301
        assert miss <= 0.002
        return
    _, windows, steps = steps_of(said)
    n_eff = windows * (steps // tokens) / max(missingdata.LEAST_TAU, tau or 0)
    assert tails.upper_bound(0, n_eff) <= miss
    assert "at least 3 sessions" in said


def test_the_shortest_protocol_that_suffices_is_named() -> None:
    def named(**limits) -> tuple[str, int, int]:
        return steps_of(missingdata.remedy(ruling.FEW_STEPS, Limits(**limits), [lacking()]))

    assert named(miss=0.05) == ("tail", 1, 300)
    assert named(miss=0.01) == ("tail-long", 10, 300)
    assert named(miss=0.001) == ("tail-long", 10, 599)  # 2 · ln 0.05 / ln 0.999 = 5989 steps
    assert named(miss=0.001, tokens=8) == ("tail-long", 10, 4792)
    assert named(tokens=301) == ("tail", 1, 301)
    assert named(tokens=8) == ("tail", 1, 300)


def test_the_longest_correlation_that_was_measured_is_allowed_for() -> None:
    """Sessions of `tail-long` on an H200 had 3000 steps that were worth 16 to 100: more such sessions bound no p99."""
    said = missingdata.remedy(ruling.FEW_STEPS, Limits(miss=0.01), [lacking(), lacking(190.6), lacking(131.0)])
    assert steps_of(said) == ("tail-long", 10, 5694)  # 191 · ln 0.05 / ln 0.99 = 56932 steps
    assert said.endswith("enough for τ ≤ 191")


def test_more_steps_than_the_model_has_positions_are_not_asked_for() -> None:
    said = missingdata.remedy(ruling.FEW_STEPS, Limits(tokens=10**9), [lacking()])
    assert said == "lower --tokens or raise --miss, as no session can have enough steps"
    said = missingdata.remedy(ruling.FEW_STEPS, Limits(miss=0.001), [lacking(190.6)])
    assert said == "raise --miss, as no session can have enough steps"
    unknown = lacking(model="a model of nobody")
    assert "--steps" in missingdata.remedy(ruling.FEW_STEPS, Limits(tokens=10**9), [unknown])


def test_other_data_have_ways_of_their_own() -> None:
    said = [
        missingdata.remedy(word, Limits(), [lacking()])
        for word in (ruling.NO_PRICE, ruling.NO_ENERGY, ruling.UNCERTAIN)
    ]
    for text, part in zip(said, ("--price", "--energy", "python -m runner cell"), strict=True):
        assert part in text
