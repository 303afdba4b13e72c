"""A page of Markdown at a terminal: its tables as aligned columns, its other lines wrapped."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.form import NOTHING
from analysis.terminaltable import ITEM, Texts, lines, wrapped
from runner.layout import WIDTH

BAR = "|"


def text(page: str, width: int = WIDTH) -> str:
    """Returns a page whose tables, lists and paragraphs are apart by blank lines, with every column."""
    blocks = (block.splitlines() for block in page.strip().split("\n\n"))
    return "\n\n".join("\n".join(_lines(block, width)) for block in blocks) + "\n"


def _lines(block: Sequence[str], width: int) -> list[str]:
    if block[0].startswith(BAR):
        titles, _, *rows = (line.strip(f"{BAR} ").split(f" {BAR} ") for line in block)
        return lines([_texts(*column) for column in zip(titles, *rows, strict=True)], (), width)
    return wrapped(block if block[0].startswith(ITEM) else [" ".join(block)], width)


def _texts(title: str, *cells: str) -> Texts:
    return Texts(title, cells, all(cell == NOTHING or cell[:1].isdigit() for cell in cells), wraps=True)
