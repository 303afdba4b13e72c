"""Does the bound on missed deadlines hold as often as it says? The committed figures behind docs/statistics.md."""

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.statistics import tailcoverage
from analysis.statistics.tailcoverage import OTHERS, P90, POSITIVE, SESSIONS, STEPS, Setting
from analysis.statistics.tailprocesses import SLOWER, Autoregressive, Bursts, deadline
from runner.record import tails

ROOT = Path(__file__).parents[3]
COMMITTED = json.loads((ROOT / "docs" / "evidence" / "tail-coverage.json").read_text())
ROWS = COMMITTED["coverage"]
USUAL = [row for row in ROWS if not row["rare"]]
KEY = ("process", "windows", "tokens", "probability", "rare")


def test_the_reported_bound_holds_in_95_percent_of_the_trials_of_each_process():
    assert min(row["covered"] for row in USUAL) >= 0.95
    assert min(row["covered_low"] for row in USUAL) >= 0.95


def test_no_other_estimator_is_said_to_be_better():
    lowest = {name: min(row["others"][name][0] for row in USUAL) for name in OTHERS}
    assert min(row["covered"] for row in USUAL) >= max(lowest.values())


def test_the_committed_settings_are_those_that_are_simulated():
    told = [tuple(row[name] for name in KEY) for row in ROWS]
    assert told == [
        (setting.process.name, setting.windows, setting.tokens, probability, setting.rare)
        for setting in tailcoverage.settings()
        for probability in setting.probabilities
    ]
    assert len({*told}) == len(told) == 12 * 2 * 2 * 3 + 3 * 2


def test_the_committed_parameters_are_those_of_the_code():
    parameters = {name: value for name, value in COMMITTED.items() if name != "coverage"}
    assert parameters == {
        "trials": tailcoverage.TRIALS,
        "sessions": SESSIONS,
        "steps": STEPS,
        "confidence": 0.95,
        "slower": SLOWER,
    }
    assert (tailcoverage.TRIALS, SESSIONS, STEPS) == (1000, 3, 300)


@pytest.mark.medium
@pytest.mark.parametrize("setting", [*tailcoverage.settings()][::7], ids=lambda one: f"{one.process.name}-{one.tokens}")
def test_the_committed_coverage_is_that_of_a_smaller_simulation(setting):
    """To four standard errors of a share of sessions, which are three in each trial."""
    trials = 60
    for row in tailcoverage.rows(setting, trials):
        (told,) = (one for one in ROWS if all(one[name] == row[name] for name in KEY))
        assert told.keys() == row.keys()
        for name, fewest in (("covered", trials), ("covered_by_one", SESSIONS * trials), ("unseen", trials)):
            error = np.sqrt(max(told[name] * (1 - told[name]), 1 / fewest) / fewest)
            assert row[name] == pytest.approx(told[name], abs=4 * error), name
        assert row["tau"] == pytest.approx(told["tau"], rel=0.25)
        assert row["looseness"] == pytest.approx(told["looseness"], rel=0.4)


@pytest.mark.medium
@pytest.mark.parametrize("tokens", [1, 8])
@pytest.mark.parametrize("process", [Autoregressive(0.9), Bursts(0.02, 10)], ids=lambda process: process.name)
def test_a_simulated_bound_is_that_of_a_recorded_session(process, tokens):
    setting = Setting(process, 2, tokens)
    found = tailcoverage.simulate(setting, 5, seed=3)
    drawn = process.draw(np.random.default_rng(3), (5, SESSIONS, 2, STEPS))
    bounds = found.bounds(POSITIVE)
    for trial, session in np.ndindex(5, SESSIONS):
        windows = drawn[trial, session].tolist()
        assert found.times[P90][trial, session, 0] == pytest.approx(tails.effective(tails.chunked(windows, tokens)).tau)
        for index, probability in enumerate(setting.probabilities):
            place = trial, session, index
            missed = tails.miss(windows, deadline(process, probability, tokens), tokens)
            assert missed is not None
            assert (found.missed[place], found.chunks) == (missed.missed, missed.chunks)
            assert found.times[POSITIVE][place] == pytest.approx(missed.tau)
            assert bounds[place] == pytest.approx(missed.upper)


def test_where_every_chunk_is_late_the_bound_is_one():
    missed = np.array([[[4]]])
    found = tailcoverage.Sessions(4, missed, {POSITIVE: np.array([[[2.0]]])})
    assert found.bounds(POSITIVE).tolist() == [[[1.0]]] == [[[tails.upper_bound(2, 2)]]]


def test_a_trial_reports_the_largest_bound_of_its_sessions():
    # two trials of three sessions, two probabilities
    bounds = np.array([[[0.2, 0.02], [0.09, 0.02], [0.09, 0.0]], [[0.0, 0.009], [0.0, 0.009], [0.0, 0.009]]])
    reported, single = tailcoverage._shares(bounds, (0.1, 0.01))
    assert reported == [0.5, 0.5]
    assert single == pytest.approx([1 / 6, 2 / 6])


def test_a_share_of_trials_has_its_binomial_interval():
    # none of 1000 failed: 1 - 0.025^(1/1000) = 0.0037
    low, high = tailcoverage._interval(1.0, 1000)
    assert (low, high) == (pytest.approx(0.025 ** (1 / 1000)), 1.0)
    assert tailcoverage._interval(0.95, 1000) == (pytest.approx(0.9346, abs=1e-4), pytest.approx(0.9627, abs=1e-4))


@pytest.mark.medium
def test_a_report_has_what_the_page_shows(monkeypatch):
    few = [Setting(Autoregressive(0.0), 1, 8), Setting(Bursts(0.03, 30), 1, 1, (0.03,), rare=True)]
    monkeypatch.setattr(tailcoverage, "settings", lambda: iter(few))
    found = tailcoverage.report(trials=4)
    assert found.keys() == COMMITTED.keys()
    assert [row.keys() for row in found["coverage"]] == [ROWS[0].keys()] * 4
    assert tailcoverage.markdown(found).startswith("Share of 4 trials whose reported bound, the largest of 3 sessions")


def test_the_page_is_rendered_from_the_figures():
    page = tailcoverage.markdown(COMMITTED)
    assert page in (ROOT / "docs" / "statistics.md").read_text()
    settings = [*tailcoverage.settings()]
    heads_and_rules = 3 * 2
    assert page.count("\n|") == heads_and_rules + len(settings) + len(tailcoverage.ESTIMATORS) + 1


def test_the_page_quotes_the_figures():
    page = " ".join((ROOT / "docs" / "statistics.md").read_text().split())
    single = [row["covered_by_one"] for row in USUAL]
    assert f"in {100 * min(row['covered'] for row in USUAL):.1f} % or more of the trials" in page
    assert f"a single session does in {100 * min(single):.0f} to {100 * max(single):.0f} %" in page
    often, seldom = (
        [row["looseness"] for row in USUAL if row["windows"] == 10 and row["probability"] == probability]
        for probability in (0.1, 0.01)
    )
    assert f"{min(often):.1f} to {max(often):.1f} times a probability of 10 %" in page
    assert f"{min(seldom):.1f} to {max(seldom):.1f} times one of 1 %" in page
    (rare,) = (row for row in ROWS if row["process"] == "3 % slow, in bursts of 30" and row["windows"] == 1)
    assert f"have no burst in {100 * rare['unseen']:.0f} % of the trials" in page
    assert f"holds in {100 * rare['covered']:.0f} % of the trials" in page
