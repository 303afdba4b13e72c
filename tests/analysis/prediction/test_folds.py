"""Folds: what is held out, and that nothing of it is left in the rest."""

import pytest

from analysis.prediction import folds
from tests.support.predictions import EAGER, GRAPH, observation, on_hosts, rows


def test_each_gpu_is_held_out_with_all_its_rows():
    found = list(folds.cards(rows()))
    assert [(fold.kind, fold.name) for fold in found] == [("gpu", "h100"), ("gpu", "h200")]
    for fold in found:
        assert {row.gpu for row in fold.held_out} == {fold.name}
        assert fold.name not in {row.gpu for row in fold.rest}
        assert len(fold.held_out) + len(fold.rest) == len(rows())


def test_each_model_is_held_out():
    assert [fold.name for fold in folds.models(rows())] == ["llama-3.1-8b", "mistral-7b", "qwen2.5-7b"]


def test_models_of_equal_layers_are_held_out_together():
    both, qwen = folds.layers(rows())
    assert (both.name, qwen.name) == ("llama-3.1-8b and mistral-7b", "qwen2.5-7b")
    assert {row.model for row in both.rest} == {"qwen2.5-7b"}


def test_a_host_is_held_out_with_its_sessions():
    row = on_hosts(observation(EAGER, "qwen2.5-7b"), 1.0, 2.0, 4.0)
    other = on_hosts(observation(GRAPH, "qwen2.5-7b"), 1.0)
    wall_ms = observation(EAGER, "qwen2.5-7b").wall_ms
    first, second, _ = folds.hosts([row, other])
    assert [each.wall_ms for each in second.held_out] == [pytest.approx(2 * wall_ms)]
    assert [each.name for each in second.rest] == [row.name, other.name]
    # the median of the sessions that are left, 1 and 4
    assert second.rest[0].wall_ms == pytest.approx(2.5 * wall_ms)
    assert [each.name for each in first.rest] == [row.name]


def test_each_row_is_held_out():
    two = [observation(EAGER, "qwen2.5-7b"), observation(GRAPH, "qwen2.5-7b")]
    assert [(list(fold.held_out), list(fold.rest)) for fold in folds.rows(two)] == [
        ([two[0]], [two[1]]),
        ([two[1]], [two[0]]),
    ]
