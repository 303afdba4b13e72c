"""A figure as SVG: its texts are text, and a page that includes it keeps its own ids and styles."""

import re
from xml.etree import ElementTree

import pytest

from analysis.figures import style
from analysis.figures.style import Drawn
from analysis.figures.svg import SVG, svg


@style.applied()
def drawn(name="one", text="a label"):
    figure = style.canvas(2)
    axes = figure.subplots()
    axes.bar([0, 1], [1, 2], hatch="//")
    axes.plot([0, 1], [1, 2], "o")
    axes.text(0, 1, text)
    return Drawn(name, "A title", "A caption.", figure)


@pytest.mark.medium
def test_the_same_figure_gives_the_same_bytes_without_a_date():
    first, second = svg(drawn()), svg(drawn())
    assert first == second
    assert b"date" not in first


@pytest.mark.medium
def test_text_is_text_and_markup_in_it_is_no_markup():
    root = ElementTree.fromstring(svg(drawn(text="<script>alert(1)</script> & $x$ \x07")))
    texts = [element.text for element in root.iter(f"{{{SVG}}}text")]
    assert "<script>alert(1)</script> & $x$" in {(text or "").strip() for text in texts}
    assert not list(root.iter(f"{{{SVG}}}script"))


@pytest.mark.medium
def test_a_page_may_include_several_and_none_styles_the_page():
    one, two = svg(drawn("one")).decode(), svg(drawn("two")).decode()
    ids = [set(re.findall(r' id="([^"]+)"', text)) for text in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for text, known in zip((one, two), ids, strict=True):
        assert set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text)) == known
        assert "<style" not in text
        assert "<metadata" not in text
    assert one.startswith("<svg ")
    assert 'role="img"' in one
    assert 'aria-label="A title"' in one
