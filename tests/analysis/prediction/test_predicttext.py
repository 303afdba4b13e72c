"""Predictions and their check as text."""

from dataclasses import replace

import pytest

from analysis.prediction import heldout, predicted, predicttext
from analysis.prediction.heldout import Check, HeldOut
from tests.support.predictions import MARLIN, rows


def row(error=0.0, inside=True, limit="memory", **changes):
    base = HeldOut(
        *("gpu", "h100", "h100", "qwen2.5-7b", 2048, "bf16", "cublas", "graph", "static", "bf16"),
        *(10.0, 9.9, 10.1, 10.0 * (1 + error), 9.0, 11.0, error, inside, limit, "hopper: h200", []),
    )
    return replace(base, **changes)


def summary(*held_out):
    return list(predicttext.summary(Check(list(held_out), [])))


def test_predictions_say_that_they_are_none_measurements_and_what_untested_means():
    text = predicttext.predictions_text(predicted.predictions(["l4"], "qwen2.5-7b", 2048))
    assert text.startswith("Predicted, not measured: qwen2.5-7b at ctx 2048 on l4.\n")
    assert "| untested |" in text
    assert "no card of this architecture has a record" in text
    assert "Speed only" in text


def test_predictions_of_a_host_say_so_and_tested_ones_do_not_speak_of_untested():
    text = predicttext.predictions_text(predicted.predictions(["h100"], "qwen2.5-7b", 2048))
    assert "another host differs" in text
    assert "untested" not in text


def test_a_check_that_meets_the_goals():
    # errors 0, 2 and 4 %; ranges of ±10 % of 10.0, 10.2 and 10.4 ms
    lines = summary(row(), row(0.02), row(0.04))
    assert lines[0] == (
        "Within a measured architecture: 3 rows, median error 2.0 %, worst 4.0 %, 3 inside their ranges (100 %), which "
        "are ±10 % wide (median)."
    )
    assert lines[1] == "The goals are a median of 10 %, a worst of 25 % and 90 % inside: all are met."


def test_a_check_that_misses_a_goal_says_by_how_much_and_where():
    lines = summary(row(0.12), row(0.14), row(0.3, inside=False, limit="host-bound"))
    assert lines[1].endswith(
        "the median misses by 4.0 points, the worst (h100 qwen2.5-7b 2048 bf16 cublas graph static bf16) misses by 5.0 "
        "points and the share inside misses by 23.3 points."
    )
    assert lines[2].startswith("Rows limited by the GPU: 2 rows, median error 13.0 %")
    assert lines[3].startswith("Host-bound rows: 1 row, median error 30.0 %, worst 30.0 %, 0 inside")
    assert lines[4] == (
        "Outside, +30.0 %: h100 qwen2.5-7b 2048 bf16 cublas graph static bf16, without h100; "
        "sessions of 9.90 to 10.10 ms."
    )


def test_the_papers_rows_do_not_count():
    lines = summary(row(), row(2.0, False, kind="paper"), row(0.5, kind="paper", basis="untested"))
    assert lines[0].startswith("Within a measured architecture: 1 row,")
    assert "architectures without a record: 1 of 1 row inside" in lines[-2]
    assert "measured architectures: 0 of 1 row inside" in lines[-1]


def test_a_check_without_rows_says_so():
    assert summary()[:2] == [
        "Within a measured architecture: no row.",
        "The goals are a median of 10 %, a worst of 25 % and 90 % inside: no row can be held out.",
    ]


@pytest.mark.medium
def test_a_check_names_what_it_could_not_check():
    one = [each for each in rows() if each.configuration != MARLIN or each.gpu == "h100"]
    text = predicttext.check_text(heldout.check(one))
    assert "**Same architecture: each GPU from the records of the others**" in text
    assert (
        "since no other record has the configuration and a model within a factor of 2 in size: awq marlin graph static."
        in text
    )
    assert "**Models of equal layers from the records of the others**" in text
    assert "**Figures of the paper, which are never fitted**" in text
