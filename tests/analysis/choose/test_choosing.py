"""The rows of a scope: all candidates, judged."""

from __future__ import annotations

import pytest

from analysis.choose import choosing
from analysis.choose.candidate import MEASURED, PREDICTED, PUBLISHED
from analysis.choose.limits import Limits
from analysis.choose.scope import Scope
from tests.support.tailrecords import three_sessions

GPUS = ("h200", "l4", "l40s")


@pytest.mark.medium
def test_measured_published_and_predicted_rows_are_in_one_table(reading_of) -> None:
    found = choosing.chosen(reading_of(three_sessions()), Scope("qwen2.5-7b", 2048, GPUS, True), Limits(), {})
    assert {row.basis for row in found.rows} == {MEASURED, PUBLISHED, PREDICTED}
    assert found.notes == ()
    keys = [(row.gpu, row.quant, row.kernel, row.runtime, row.cache) for row in found.rows]
    assert len(set(keys)) == len(keys)
    standings = [row.standing for row in found.rows]
    assert standings == sorted(standings, key=["meets", "lacks data", "fails"].index)


@pytest.mark.medium
def test_of_gpus_that_nobody_named_each_format_has_one_prediction() -> None:
    named = choosing.chosen(None, Scope("qwen2.5-7b", 2048, GPUS, True), Limits(), {})
    unnamed = choosing.chosen(None, Scope("qwen2.5-7b", 2048, GPUS), Limits(), {})
    assert unnamed.notes == (choosing.SHORTENED,)
    predicted = [(row.gpu, row.quant) for row in unnamed.rows if row.basis == PREDICTED]
    assert len(set(predicted)) == len(predicted)
    for row in unnamed.rows:
        alike = [each for each in named.rows if (each.gpu, each.quant, each.basis) == (row.gpu, row.quant, row.basis)]
        assert row in alike if row.basis == PUBLISHED else row == alike[0]


@pytest.mark.medium
def test_a_model_that_cannot_be_predicted_says_why() -> None:
    found = choosing.chosen(None, Scope("tiny", 2048, GPUS), Limits(), {})
    assert found.rows == ()
    (note,) = found.notes
    assert note.startswith("nothing is predicted: model=tiny ")
