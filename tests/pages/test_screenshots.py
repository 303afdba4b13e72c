"""The committed screenshots, and how long a page is waited for."""

import re
import struct

import pytest

from tests.pages import screenshots
from tests.support.browser import tab

FIGURES = screenshots.ROOT / "docs" / "figures"
LATE = "<body>0 matching runs<script>setTimeout(() => document.body.append(' 7 matching runs'), 500)</script>"


@pytest.mark.parametrize("name", screenshots.SIZES)
def test_a_committed_screenshot_has_the_size_of_its_window(name):
    head = (FIGURES / name).read_bytes()[:24]
    assert struct.unpack(">II", head[16:]) == screenshots.SIZES[name]


@pytest.mark.slow
def test_a_page_is_taken_when_it_shows_its_rows_and_is_still(tmp_path, monkeypatch):
    monkeypatch.setattr(screenshots, "STILL_S", 0.5)
    page = tmp_path / "page.html"
    page.write_text(LATE)
    with tab() as browser:
        browser.show(page, 400, 300)
        screenshots.wait_until_still(browser, screenshots.RUNS_ARE_THERE)
        assert "7 matching runs" in browser.value("document.body.innerText")
        monkeypatch.setattr(screenshots, "PATIENCE_S", 0.5)
        with pytest.raises(TimeoutError, match="the page does not show 'nothing'"):
            screenshots.wait_until_still(browser, re.compile("nothing"))
