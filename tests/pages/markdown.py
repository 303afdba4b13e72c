"""The Markdown pages of the project: their prose, their headings and their links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
GENERATED = re.compile(r"<!-- \$ .*?<!-- end -->", re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"")
NEW_ITEM = re.compile(r"\s*(?:[-*]|\d+\.) ")


def read(path: Path) -> str:
    """Returns the text of a page."""
    return path.read_text(encoding="utf-8")


def written(text: str) -> str:
    """Returns a page without the blocks that commands write."""
    return GENERATED.sub("", text)


def code_lines(text: str) -> list[str]:
    """Returns the lines of the code blocks, indented or fenced, without comments at their end."""
    fenced = [line for block in FENCED.findall(written(text)) for line in block.splitlines()]
    indented = [line for line in _unfenced(text).splitlines() if line.startswith("    ")]
    return [line.partition("  #")[0].strip() for line in (*indented, *fenced)]


def spans(text: str) -> list[str]:
    """Returns the code in the prose, each span on one line."""
    lines = (line for line in _unfenced(text).splitlines() if not line.startswith("    "))
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", "\n".join(lines))]


def _unfenced(text: str) -> str:
    return FENCED.sub("", written(text))


def prose(text: str) -> Iterator[str]:
    """Yields the paragraphs and list items, each on one line."""
    paragraph: list[str] = []
    for line in [*COMMENT.sub("", _unfenced(text)).splitlines(), ""]:
        ends = not line.strip() or line.startswith(("#", "|", "!", "<"))
        if paragraph and (ends or NEW_ITEM.match(line)):
            yield " ".join(paragraph)
            paragraph = []
        if not ends and not (line.startswith("    ") and not paragraph):
            paragraph.append(NEW_ITEM.sub("", line).strip())


def sentences(text: str) -> Iterator[str]:
    """Yields the sentences of the prose, without emphasis."""
    for paragraph in prose(text):
        yield from re.split(r"(?<=[.!?:])\s+", paragraph.replace("*", ""))


def headings(text: str) -> list[str]:
    """Returns the headings of a page."""
    return HEADING.findall(COMMENT.sub("", text))


def anchors(text: str) -> set[str]:
    """Returns the anchors that GitHub gives to the headings: lower case, without punctuation, hyphens for spaces."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(text)}


def links(text: str) -> list[str]:
    """Returns the relative links and the sources of pictures."""
    found = [link or source for link, source in LINK.findall(written(text))]
    return [target for target in found if "://" not in target]
