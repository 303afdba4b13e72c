"""Predictions and their check at a terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.prediction import heldout, predicted, predictterminal
from analysis.prediction.predicted import Prediction
from tests.support.predictions import rows
from tests.support.terminals import at_terminal


def predictions(gpu: str, model: str = "qwen2.5-7b", ctx: int = 2048) -> list[Prediction]:
    return predicted.predictions([gpu], model, ctx)


def test_a_wide_terminal_shows_each_number_of_a_prediction() -> None:
    (row,) = [each for each in predictions("h200") if each.kernel == "fused"]
    title, _, head, line, _, *below = predictterminal.predictions([row], 120).splitlines()
    assert title == "Predicted, not measured: qwen2.5-7b at ctx 2048 on h200."
    assert " ".join(head.split()) == "configuration ms/step range ms tokens/s floor ms memory GB limit basis"
    assert line.split() == [
        *("bf16", "fused", f"{row.step_ms:.2f}", f"{row.low_ms:.3g}–{row.high_ms:.3g}", f"{row.tokens_per_s:.1f}"),
        *(f"{row.floor_ms:.2f}", f"{row.needed_bytes / 1e9:.1f}", row.limit, "hopper"),
    ]
    assert row.caveats == []
    assert below == ["Speed only: accuracy is not predicted.", predictterminal.MORE]


@pytest.mark.parametrize(("gpu", "basis"), [("l4", "untested"), ("h200", "hopper")])
@pytest.mark.parametrize("columns", [80, 100, 120])
def test_a_prediction_keeps_its_step_range_limit_and_validity_at_each_width(columns: int, gpu: str, basis: str) -> None:
    found = predictions(gpu)
    title, _, head, *lines = predictterminal.predictions(found, columns).splitlines()
    assert max(map(len, (title, head, *lines))) <= columns
    assert "configuration" in head
    assert "ms/step   range ms" in head
    for row, line in zip(found, lines, strict=False):
        assert line.split()[-2:] == [row.limit, basis]
    assert ("tokens/s" in head) == (columns >= 100)


def test_configurations_that_differ_in_their_cache_alone_are_told_apart() -> None:
    text = predictterminal.predictions(predictions("h200"))
    assert "bf16 cublas eager dynamic" in text
    assert "bf16 cublas eager static" in text
    assert "awq marlin graph " in text


def test_conditions_of_all_predictions_are_stated_once() -> None:
    text = predictterminal.predictions(predictions("jetson-orin"), 120)
    assert text.count("Each row: memory shared with the CPU, all of it assumed to be free.\n") == 1
    assert "Each row" not in predictterminal.predictions(predictions("l4"))
    fused = [row for row in predictions("l4") if row.runtime == "fused"]
    assert "kernel tried on compute capability 9.0 alone." in predictterminal.predictions(fused)


def test_what_does_not_fit_into_the_card_is_marked() -> None:
    found = predictions("l4", "llama-3.1-8b", 65536)
    text = predictterminal.predictions(found, 80)
    misfits = [row for row in found if row.misfit]
    assert 0 < len(misfits) < len(found)
    assert text.count("! ") == len(misfits) + 1  # and once where the mark is explained
    assert "\n! does not fit into 24 GB\n" in text
    assert "!" not in predictterminal.predictions([row for row in found if not row.misfit], 80)


@pytest.mark.medium
@pytest.mark.parametrize("columns", [80, 100, 120])
def test_a_check_shows_measured_and_predicted_steps_and_the_error_at_each_width(columns: int) -> None:
    (slower, *others) = heldout.check(rows()).rows
    found = heldout.Check([replace(slower, inside=False), *others], [])
    text = predictterminal.check(found, columns)
    assert max(map(len, text.splitlines())) <= columns
    head, first = text.splitlines()[2:4]
    assert head.split()[:4] == ["gpu", "model", "ctx", "configuration"]
    assert {"measured", "ms/step", "error"} <= set(head.split())
    assert ("range ms" in head) == (columns >= 100)
    assert ("limit" in head) == (columns >= 100)
    assert f" {slower.measured_ms:.2f}! " in first
    assert text.count("! outside the range") == 2  # in this section, and in that of the paper
    assert "Held out together: llama-3.1-8b and mistral-7b." in text


@pytest.mark.medium
def test_figures_of_the_paper_keep_their_range() -> None:
    text = predictterminal.check(heldout.check(rows()), 80)
    (head,) = [line for line in text.splitlines() if line.startswith("gpu") and "paper" in line]
    assert "range ms" in head
    assert "ms/step" not in head


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, pytest.param(120, marks=pytest.mark.whole)])
@pytest.mark.parametrize(
    "aim",
    [
        ("--gpu", "l4"),
        *(pytest.param(aim, marks=pytest.mark.whole) for aim in (("--gpu", "h200"), ("--constants",), ("--check",))),
    ],
)
def test_each_table_of_predict_fits_into_a_terminal(columns: int, aim: tuple[str, ...]) -> None:
    text = at_terminal(columns, "predict", *aim)
    assert max(map(len, text.splitlines())) <= columns
    assert "|---|" not in text
    assert "--format md shows every column" in text


@pytest.mark.slow
def test_a_terminal_gets_each_column_on_request() -> None:
    assert "| quant | kernel | runtime | cache |" in at_terminal(80, "predict", "--gpu", "l4", "--format", "md")
