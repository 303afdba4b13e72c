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
    yield from _wrapped(text, f"  {label:{LABEL}}", width)


def aligned(rows: Sequence[Sequence[str]], numeric: Collection[str], width: int = WIDTH, indent: str = "") -> list[str]:
    """Returns the rows as lines, the last column wrapped at `width`. The first row has the titles; the columns with
    `numeric` titles end at the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    lines: list[str] = []
    for row in rows:
        texts = (
            text.rjust(columns) if title in numeric else text.ljust(columns)
            for title, text, columns in zip(rows[0], row, widths, strict=False)
        )
        start = indent + "".join(f"{text}  " for text in texts)
        lines += _wrapped(row[-1], start, width) or [start.rstrip()]
    return lines


def _wrapped(text: str, start: str, width: int) -> list[str]:
    """Returns the lines of a text after `start`, below which its further lines begin."""
    return textwrap.wrap(
        text, width, initial_indent=start, subsequent_indent=" " * len(start), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
