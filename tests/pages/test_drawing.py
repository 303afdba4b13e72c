"""The drawing of the fused kernel is made from its plan, and the committed one is that of today's plan."""

from pathlib import Path

import pytest

from analysis.figures import style
from analysis.figures.svg import svg
from runner.cell import catalogue
from runner.fused import geometry
from tests.pages import drawing

FIGURES = Path(__file__).resolve().parents[2] / "docs" / "figures"


@pytest.mark.medium
def test_the_committed_drawing_is_that_of_the_plan() -> None:
    with style.applied():
        assert (FIGURES / "fused.svg").read_bytes() == svg(drawing.draw())


def test_packets_are_those_of_the_splits_in_use() -> None:
    layout = geometry.choose(catalogue.models()["qwen2.5-7b"].shape, drawing.CARD)
    packets = drawing._packets(layout)
    # 2048 tokens in tiles of 14 for each of 6 warps: 25 splits, each with 3584 sums and 2 · 28 weights
    assert packets["parts"] == 25 * 3584
    assert packets["weights"] == 25 * 2 * 28
    assert packets["hidden"] == 3584
