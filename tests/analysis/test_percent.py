"""One style of percentages: a space before the sign, in every table, figure, page and answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analysis.percent import percent
from analysis.report import contents, files
from tests.support.reports import COMMITTED, contents_of

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
JOINED = re.compile(r"\d%")
MARKUP = re.compile(r"<(style|script).*?</\1>|<[^>]*>|`[^`]*`", re.DOTALL)
"""Parts of a page that are no text for readers."""


def joined(text: str) -> list[str]:
    """Returns the percentages of a page without a space before the sign."""
    return JOINED.findall(MARKUP.sub(" ", text))


def test_a_fraction_has_a_space_before_the_sign() -> None:
    assert percent(0.162) == "16 %"
    assert percent(-0.353, "+.1%") == "-35.3 %"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_have_one_style(page: Path) -> None:
    assert joined(page.read_text(encoding="utf-8")) == []


@pytest.mark.slow
def test_the_report_its_tables_and_its_figures_have_one_style() -> None:
    found = contents_of(COMMITTED)
    assert joined(contents.markdown(found)) == []
    for name, content in files.files(found).items():
        if not name.endswith(".csv"):
            assert joined(content.decode() if isinstance(content, bytes) else content) == [], name
