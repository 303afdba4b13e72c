"""Remedies for a lack of data: each way, once followed, gives enough of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.choose import missingdata, ruling
from analysis.choose.chooserow import ChooseRow
from analysis.choose.limits import Limits
from runner.cell import catalogue
from runner.cell.protocol import NAMED, Protocol
from runner.launch import process
from runner.plan import absent
from runner.plan.request import Request
from runner.plan.resolve import resolve
from runner.record import tails
from tests.support.candidates import published, row_of


def asked_in(said: str, ctx: int = 2048) -> Protocol:
    """Returns the protocol that a remedy names, as a cell of the model takes it."""
    options = said.rpartition("`")[0].rpartition("`")[2].removeprefix(f"{missingdata.CELL} ").split()
    named = {name.removeprefix("--"): value for name, value in zip(options[::2], options[1::2], strict=True)}
    request = Request(gpu="h200", model="qwen2.5-7b", ctx=str(ctx), cache="static", **named)
    return resolve(request, (absent.card(catalogue.gpus()["h200"]),)).protocol


def lacking(tau: float | None = None, step_ms: float = 10.0, **changes: Any) -> ChooseRow:
    """A row of the model at ctx 2048 whose worst session has this autocorrelation time."""
    return replace(row_of(published(step_ms)), tau=tau, **changes)


def said_of(*rows: ChooseRow, **limits: Any) -> str:
    return missingdata.remedy(ruling.FEW_STEPS, Limits(**limits), rows or [lacking()])


@pytest.mark.parametrize("word", [ruling.FEW_STEPS, ruling.FEW_SESSIONS, ruling.NO_STEPS])
@pytest.mark.parametrize("miss", [0.1, 0.05, 0.01, 0.002, 0.001])
@pytest.mark.parametrize("tokens", [1, 8, 301])
@pytest.mark.parametrize("tau", [None, 1.2, 2.4])
def test_the_windows_that_it_names_bound_the_probability_although_steps_are_correlated(word, miss, tokens, tau) -> None:
    said = missingdata.remedy(word, Limits(miss=miss, tokens=tokens), [lacking(), lacking(tau)])
    if said.startswith("lower `choose --tokens`"):
        assert (tokens, miss) in ((301, 0.002), (301, 0.001))  # a session would take hours
        return
    counts = asked_in(said)
    assert counts.steps in (300, tokens)
    n_eff = counts.windows * (counts.steps // tokens) / max(missingdata.LEAST_TAU, tau or 0)
    assert tails.upper_bound(0, n_eff) <= miss
    assert "at least 3 sessions" in said


def test_the_shortest_protocol_that_suffices_is_named() -> None:
    assert asked_in(said_of(miss=0.05)) == NAMED["tail"]
    assert asked_in(said_of(miss=0.01)) == NAMED["tail-long"]
    # 2 · ln 0.05 / ln 0.999 = 5989 steps, in windows of 300 steps or 37 chunks
    assert asked_in(said_of(miss=0.001)) == Protocol("custom", 5, 300, 20)
    assert asked_in(said_of(miss=0.001, tokens=8)) == Protocol("custom", 5, 300, 162)
    assert asked_in(said_of(tokens=301)) == Protocol("custom", 5, 301)
    assert asked_in(said_of(tokens=8)) == NAMED["tail"]


def test_the_longest_correlation_that_was_measured_is_allowed_for() -> None:
    """Sessions of `tail-long` on an H200 had 3000 steps that were worth 16 to 100: more such sessions bound no p99."""
    said = said_of(lacking(), lacking(190.6), lacking(131.0), miss=0.01)
    # 191 · ln 0.05 / ln 0.99 = 56932 steps, and 190 · 305 · 10 ms = 580 s
    assert said == (
        "measure at least 3 sessions of a cell with `python -m runner cell --protocol tail-long --windows 190`, enough "
        "for τ ≤ 191, about 10 min of steps each"
    )
    assert asked_in(said) == Protocol("custom", 5, 300, 190)


def test_the_minutes_are_those_of_the_fastest_and_the_slowest_row() -> None:
    assert "about 4 to 10 min of steps each" in said_of(lacking(191.0, 3.52), lacking(None, 10.0), miss=0.01)
    assert said_of(miss=0.01).endswith("about 1 min of steps each")  # 10 · 305 · 10 ms = 31 s


def test_only_a_session_that_takes_longer_than_an_hour_is_out_of_reach() -> None:
    # 191 · ln 0.05 / ln 0.999 = 571 903 steps, in 1907 windows of 305 steps
    hour_ms = 60 * 60_000 / (1907 * 305)
    said = said_of(lacking(191.0, 0.999 * hour_ms), miss=0.001)
    assert asked_in(said).windows == 1907
    assert said.endswith("about 60 min of steps each")
    said = said_of(lacking(191.0, 1.001 * hour_ms), miss=0.001)
    assert said == (
        "set `choose --miss` above 0.001, as for τ ≤ 191 a session would take 61 min of steps, more than the 60 that "
        "are sensible"
    )
    slower = said_of(lacking(191.0, 0.999 * hour_ms), lacking(None, 2 * hour_ms), miss=0.001)
    assert slower.endswith("about 60 to 120 min of steps each; beyond 60 min, set `choose --miss` above 0.001 instead")
    assert said_of(lacking(191.0), miss=0.001, tokens=8).startswith(
        "lower `choose --tokens` or set `choose --miss` above 0.001, as for τ ≤ 191 "
    )


def test_a_session_of_the_named_windows_is_not_stopped_for_want_of_time() -> None:
    """At the longest steps for which they are named."""
    for miss in (0.05, 0.01, 0.001):
        counts = asked_in(said_of(lacking(100.0, 1.0), miss=miss))
        assert process.default_timeout_s(counts) >= 60 * missingdata.LONGEST_MIN / 2
        assert process.default_timeout_s(counts) / (counts.steps * counts.windows) >= process.STEP_TIMEOUT_S


def test_a_cache_that_grows_has_but_one_window() -> None:
    said = said_of(lacking(cache="dynamic", step_ms=1000.0), lacking(cache="static"), miss=0.01)
    assert "--protocol tail-long`, with a static cache in place of a dynamic one, enough for" in said
    assert said.endswith("about 1 min of steps each")  # not those of the row that cannot be measured so
    assert "with a static cache" in said_of(lacking(cache="dynamic"), miss=0.01)
    assert "with a static cache" not in said_of(lacking(cache="dynamic"), miss=0.05)  # one window suffices
    assert "with a static cache" not in said_of(lacking(cache="engine"), miss=0.01)


def test_more_steps_than_the_model_has_positions_are_not_asked_for() -> None:
    assert said_of(tokens=10**9) == "lower `choose --tokens`, as no session can have enough steps"
    # 32 768 - 32 600 - 5 = 163 steps fit into a window: 5989 of them into 37
    near = lacking(ctx=32_600)
    assert asked_in(said_of(near, miss=0.001), 32_600) == Protocol("custom", 5, 163, 37)
    assert said_of(near, tokens=164).startswith("lower `choose --tokens`")
    assert "--protocol tail --steps 100000`" in said_of(lacking(model="a model of nobody"), tokens=10**5)


def test_more_steps_than_a_record_can_have_are_not_asked_for() -> None:
    assert (
        said_of(lacking(step_ms=0.1), miss=1e-6)
        == "set `choose --miss` above 1e-06, as no session can have enough steps"
    )


def test_other_data_have_ways_of_their_own() -> None:
    said = [
        missingdata.remedy(word, Limits(), [lacking()])
        for word in (ruling.NO_PRICE, ruling.NO_ENERGY, ruling.UNCERTAIN)
    ]
    for text, part in zip(said, ("--price", "--energy", "python -m runner cell"), strict=True):
        assert part in text
