"""Pages of Markdown at a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis import pagetext
from analysis.statistics import coverage, tailcoverage
from tests.support.noises import COMMITTED

ROOT = Path(__file__).parents[2]
TAILS = json.loads((ROOT / "docs" / "evidence" / "tail-coverage.json").read_text())
PAGE = """One paragraph
of two lines:

- an item of a list
- another

| noise | N |
|---|---|
| two speeds | 5 |
| – | 10 |
"""


def test_tables_are_aligned_and_the_rest_is_wrapped() -> None:
    assert pagetext.text(PAGE, 30).splitlines() == [
        "One paragraph of two lines:",
        "",
        "- an item of a list",
        "- another",
        "",
        "noise        N",
        "two speeds   5",
        "–           10",
    ]


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("page", [coverage.markdown(COMMITTED), tailcoverage.markdown(TAILS)], ids=["A/Bs", "tails"])
def test_the_pages_of_simulations_fit(page: str, width: int) -> None:
    text = pagetext.text(page, width)
    assert max(map(len, text.splitlines())) <= width
    assert "|" not in text
