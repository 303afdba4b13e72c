"""Layout of text for a terminal: labelled texts and aligned columns."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Collection, Iterator, Sequence

WIDTH = 120
"""Columns of a line where there is no terminal, and the most at one."""
LABEL = 10
"""Columns of the labels."""
GAP = "  "
NARROW = 20
"""Fewest columns that a wrapped text is put into."""


def width() -> int:
    """Returns the columns that a line may have."""
    return min(shutil.get_terminal_size((WIDTH, 1)).columns, WIDTH)


def line(label: str, text: str, width: int = WIDTH) -> Iterator[str]:
    """Yields the lines of one labelled text."""
    yield from _wrapped(text, f"  {label:{LABEL}}", width)


def aligned(rows: Sequence[Sequence[str]], numeric: Collection[str], width: int = WIDTH, indent: str = "") -> list[str]:
    """Returns the rows as lines. The first row has the titles; the columns with `numeric` titles end at the right.

    The last column is wrapped at `width`. If less than NARROW is left for it, and it needs more than that, its texts
    are below their rows.
    """
    *widths, needed = (max(map(len, column)) for column in zip(*rows, strict=True))
    title = rows[0][-1]
    is_narrow = width - len(indent) - sum(columns + len(GAP) for columns in widths) < min(NARROW, needed)
    lines: list[str] = []
    for row in rows:
        *first, last = row
        texts = (
            text.rjust(columns) if name in numeric else text.ljust(columns)
            for name, text, columns in zip(rows[0], first, widths, strict=False)
        )
        start = indent + "".join(f"{text}{GAP}" for text in texts)
        if not is_narrow:
            lines += _wrapped(last, start, width) or [start.rstrip()]
            continue
        lines.append(start.rstrip())
        if row is not rows[0] and last:
            lines += _wrapped(last, f"{indent}{GAP}{title}: ", width)
    return lines


def _wrapped(text: str, start: str, width: int) -> list[str]:
    """Returns the lines of a text after `start`, below which its further lines begin."""
    return textwrap.wrap(
        text, width, initial_indent=start, subsequent_indent=" " * len(start), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
