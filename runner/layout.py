"""Layout of text for a terminal: labelled texts and aligned columns."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Collection, Iterator, Sequence

WIDTH = 120
"""Columns of a line where there is no terminal, and the most at one."""
LABEL = 10
"""Columns of the labels."""


def width() -> int:
    """Returns the columns that a line may have."""
    return min(shutil.get_terminal_size((WIDTH, 1)).columns, WIDTH)


def line(label: str, text: str, width: int = WIDTH) -> Iterator[str]:
    """Yields the lines of one labelled text."""
    start = f"  {label:{LABEL}}"
    yield from textwrap.wrap(
        text, width, initial_indent=start, subsequent_indent=" " * len(start), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def aligned(rows: Sequence[Sequence[str]], numeric: Collection[str]) -> list[str]:
    """Returns the rows as lines. The first row has the titles; the columns with `numeric` titles end at the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.rjust(width) if title in numeric else text.ljust(width)
            for title, text, width in zip(rows[0], row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
