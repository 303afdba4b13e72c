"""The pages: the length of README, the width of lines, links and anchors, references from the code, and the English."""

import re

import pytest

from tests.pages import markdown
from tests.pages.markdown import PAGES, ROOT
from tests.test_docstrings import OPENERS

WIDTH = 120
README_LINES = 150
EVERY_PAGE = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
REFERENCE = re.compile(r"docs/([\w-]+\.md)(?:,\s+(?:#\s+)?\"([^\"]+)\")?")
SOURCES = [
    *(path for folder in ("runner", "analysis", "images", "tests") for path in sorted((ROOT / folder).rglob("*.py"))),
    *sorted((ROOT / "runner").rglob("*.yaml")),
    ROOT / "Makefile",
]
TEXT = """# A page

One sentence. Another
over `two` lines:

- an *item*
  of two lines
- another

    $ a command  # a comment

```yaml
key: `value`  # a comment
```

<!-- $ python -->
generated
<!-- end -->

## Its `second` part, "quoted"
[there](other.md#here) [away](https://example.org)
"""


def test_the_front_page_is_short():
    assert len(markdown.read(ROOT / "README.md").splitlines()) <= README_LINES


def test_the_first_screen_has_a_claim_and_one_figure_with_its_text():
    first = markdown.read(ROOT / "README.md").partition("## ")[0].split("\n\n")
    assert [part.startswith("**On an H100") for part in first[:4]] == [False, False, True, False]
    assert re.match(r"!\[[^\]]{40,}\]\(docs/figures/steps\.svg\)$", first[3].strip())


@EVERY_PAGE
def test_lines_are_no_wider_than_the_code(path):
    """Tables, pictures and generated blocks cannot be broken."""
    lines = markdown.written(markdown.read(path)).splitlines()
    assert [line for line in lines if len(line) > WIDTH and not line.startswith(("|", "!", "<"))] == []


@EVERY_PAGE
def test_a_relative_link_leads_somewhere(path):
    text = markdown.read(path)
    for link in markdown.links(text):
        target, _, anchor = link.partition("#")
        linked = path.parent / target if target else path
        assert linked.exists(), link
        assert not anchor or anchor in markdown.anchors(markdown.read(linked)), link


def test_every_page_is_in_the_index():
    index = ROOT / "docs" / "README.md"
    pages = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".json")}
    assert pages - set(markdown.links(markdown.read(index))) == {"README.md"}


def test_a_page_and_heading_that_the_code_names_is_there():
    for path in SOURCES:
        for page, heading in REFERENCE.findall(path.read_text(encoding="utf-8")):
            named = ROOT / "docs" / page
            assert named.exists(), f"{path}: {page}"
            assert not heading or heading in markdown.headings(markdown.read(named)), f"{path}: {page}, {heading}"


@EVERY_PAGE
def test_no_sentence_opens_with_a_word_that_leans_on_another(path):
    openers = [sentence for sentence in markdown.sentences(markdown.read(path)) if sentence.split(" ")[0] in OPENERS]
    assert openers == []


def test_a_page_is_divided_into_its_parts():
    assert list(markdown.sentences(TEXT)) == [
        "One sentence.",
        "Another over `two` lines:",
        "an item of two lines",
        "another",
        "[there](other.md#here) [away](https://example.org)",
    ]
    assert markdown.code_lines(TEXT) == ["$ a command", "key: `value`"]
    assert markdown.spans(TEXT) == ["two", "second"]
    assert markdown.headings(TEXT) == ["A page", 'Its `second` part, "quoted"']
    assert markdown.anchors(TEXT) == {"a-page", "its-second-part-quoted"}
    assert markdown.links(TEXT) == ["other.md#here"]
