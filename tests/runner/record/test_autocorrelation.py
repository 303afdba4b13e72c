"""Autocovariances of bits against those of arrays, and the sum of a sequence against one done by hand."""

import random

import numpy as np
import pytest

from runner.record.autocorrelation import Indicators, autocovariances, indicators, initial_positive


def naive(windows, lag):
    """Returns the sum over the pairs of each window, around the mean of all."""
    mean = np.mean([value for window in windows for value in window])
    arrays = [np.array(window, float) - mean for window in windows]
    return sum(float(np.sum(array[: len(array) - lag] * array[lag:])) for array in arrays if len(array) > lag)


@pytest.mark.parametrize("lengths", [[30], [30, 30, 30], [5, 30, 1, 12], [2]])
def test_pairs_lie_within_a_window_and_the_mean_is_that_of_all(lengths):
    generator = random.Random(1)
    windows = [[generator.random() < 0.3 for _ in range(length)] for length in lengths]
    windows[-1][0] = True
    found = list(autocovariances(indicators(windows)))
    assert found == pytest.approx([naive(windows, lag) for lag in range(max(lengths))], abs=1e-12)


@pytest.mark.parametrize("windows", [[], [[]], [[], []]])
def test_without_steps_there_is_no_autocovariance(windows):
    assert list(autocovariances(indicators(windows))) == []


def test_windows_are_apart_by_the_length_of_the_longest():
    # 10 and 110, three bits between them
    assert indicators([[True, False], [True, True, False]]) == Indicators(0b10_000_110, 0b11_000_111, 3)


@pytest.mark.parametrize(
    ("covariances", "time"),
    [
        ([], 1.0),
        ([0.0, 1.0], 1.0),
        ([4.0], 1.0),
        ([4.0, 2.0], 2.0),  # 1 + 2 * 2/4
        ([4.0, 2.0, 1.0, -0.5, 1.0, -1.0, 9.0], 2.25),  # (1 - 0.5) counts, (1 - 1) ends the sum: 1 + 2 * 2.5/4
        ([4.0, 2.0, 1.0], 2.5),  # a lag without its second counts as a pair
        ([4.0, -1.0, 0.5, 0.1], 1.0),  # 1 + 2 * -0.4/4, but never less than 1
    ],
)
def test_the_sum_ends_before_the_first_pair_of_lags_that_is_not_positive(covariances, time):
    assert initial_positive(covariances) == pytest.approx(time)


def test_a_markov_chain_has_the_time_of_its_eigenvalue():
    """Leaves a yes with probability 0.2 and a no with 0.05: rho(k) = 0.75^k, so 1 + 2 * 0.75 / 0.25 = 7."""
    generator = random.Random(2)
    state, steps = False, []
    for _ in range(60_000):
        state = generator.random() >= 0.2 if state else generator.random() < 0.05
        steps.append(state)
    windows = [steps[start : start + 3000] for start in range(0, 60_000, 3000)]
    assert initial_positive(autocovariances(indicators(windows))) == pytest.approx(7, rel=0.15)
