"""Candidates that are predicted."""

from __future__ import annotations

import pytest

from analysis.choose import foretold
from analysis.choose.scope import Scope
from analysis.prediction.predicted import predictions
from runner.errors import NotAvailable

SCOPE = Scope("qwen2.5-7b", 2048, ("h100", "l4", "cpu", "my-card"))


@pytest.mark.medium
def test_every_prediction_of_a_card_with_a_bandwidth_is_a_candidate() -> None:
    found = foretold.candidates(SCOPE, 8, (), {"l4": 3.6})
    expected = predictions(["h100", "l4"], "qwen2.5-7b", 2048)
    assert [each.step_ms for each in found] == [each.step_ms for each in expected]
    assert [each.low_ms for each in found] == [each.low_ms for each in expected]
    for each in found:
        assert each.chunk_ms == 8 * each.step_ms
        assert each.untested == (each.configuration.gpu == "l4")
        if each.configuration.gpu == "l4":
            assert each.usd_per_mtok == pytest.approx(each.step_ms)


@pytest.mark.medium
def test_what_was_measured_is_not_predicted() -> None:
    first, *others = foretold.candidates(SCOPE, 1, (), {})
    assert foretold.candidates(SCOPE, 1, {first.configuration}, {}) == others


def test_a_range_without_an_upper_end_has_none(monkeypatch) -> None:
    from dataclasses import replace

    endless = [replace(each, high_ms=float("inf")) for each in predictions(["l4"], "qwen2.5-7b", 2048)]
    monkeypatch.setattr(foretold.predicted, "predictions", lambda *_: endless)
    assert {each.high_ms for each in foretold.candidates(SCOPE, 1, (), {})} == {None}


def test_a_model_that_the_constants_do_not_cover_is_an_error() -> None:
    with pytest.raises(NotAvailable):
        foretold.candidates(Scope("tiny", 2048, ("l4",)), 1, (), {})
