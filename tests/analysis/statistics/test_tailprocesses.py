"""Are the simulated steps those whose probabilities are computed?"""

import numpy as np
import pytest
from scipy.stats import norm

from analysis.statistics.tailprocesses import SLOWER, Autoregressive, Bursts, Periodic, deadline

PROCESSES = (Autoregressive(0.0), Autoregressive(0.6), Periodic(50, 5), Bursts(0.1, 3), Bursts(0.02, 10))


@pytest.mark.medium
@pytest.mark.parametrize("tokens", [1, 8])
@pytest.mark.parametrize("probability", [0.1, 0.01])
@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)
def test_a_deadline_is_missed_with_its_probability(process, probability, tokens):
    drawn = process.draw(np.random.default_rng(1), (3000, 304))
    chunks = drawn.reshape(3000, -1, tokens).sum(axis=-1)
    late = (chunks > deadline(process, probability, tokens)).mean(axis=1)
    error = late.std() / np.sqrt(len(late))
    assert abs(late.mean() - probability) < 4 * error


def test_the_sum_of_two_dependent_steps_varies_by_their_covariance():
    # 1 + 1 + 2 * 0.6 = 3.2
    assert Autoregressive(0.6).late(2.0, 2) == pytest.approx(norm.sf(2.0 / np.sqrt(3.2)))


def test_a_step_depends_on_the_one_before():
    drawn = Autoregressive(0.6).draw(np.random.default_rng(1), (100, 1000))
    assert np.corrcoef(drawn[:, :-1].ravel(), drawn[:, 1:].ravel())[0, 1] == pytest.approx(0.6, abs=0.01)


def test_a_period_begins_anywhere_and_its_slow_steps_are_in_a_row():
    slow = Periodic(50, 5).draw(np.random.default_rng(1), (100, 100)) > SLOWER / 2
    assert (slow.sum(axis=1) == 10).all()
    assert len({tuple(row) for row in slow}) > 30


def test_a_chunk_of_a_period_has_as_many_slow_steps_as_its_place_allows():
    # chunks of 2 in a period of 4 with 2 slow steps: ss, su, uu, us; the usual ones hardly ever exceed 1.5 slow ones
    assert Periodic(4, 2).late(1.5 * SLOWER, 2) == pytest.approx(0.25, abs=1e-3)
    assert Periodic(4, 2).late(0.5 * SLOWER, 2) == pytest.approx(0.75, abs=1e-3)


def test_bursts_have_their_share_and_mean_length():
    slow = Bursts(0.1, 10).draw(np.random.default_rng(1), (300, 3000)) > SLOWER / 2
    assert slow.mean() == pytest.approx(0.1, abs=0.005)
    ends = (slow[:, :-1] & ~slow[:, 1:]).sum()
    assert slow[:, :-1].sum() / ends == pytest.approx(10, rel=0.03)


def test_two_steps_are_slow_together_if_the_burst_goes_on():
    # 0.1 * (1 - 1/10)
    assert Bursts(0.1, 10).late(1.5 * SLOWER, 2) == pytest.approx(0.09, abs=1e-4)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)
def test_windows_have_their_seed(process):
    one, same, other = (process.draw(np.random.default_rng(seed), (2, 3, 20)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one[0, 0], one[0, 1])


def test_processes_are_told_apart_by_name():
    assert [process.name for process in PROCESSES] == [
        "independent",
        "AR(1), φ = 0.6",
        "5 slow of every 50",
        "10 % slow, in bursts of 3",
        "2 % slow, in bursts of 10",
    ]
