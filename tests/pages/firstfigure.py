"""Draw docs/figures/steps.svg, the first figure of the front page, from the committed records.

python -m tests.pages.firstfigure docs/figures

A GPU has a panel: plain PyTorch, the fastest unquantised row of each other runtime, and the fastest row of each 4-bit
format, the slowest first. All but plain PyTorch are rows whose passes agree.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from analysis.figures import labels, stepbars
from analysis.figures.style import Drawn
from analysis.figures.svg import svg
from analysis.tables._floorrow import FloorRow
from tests.pages import headline

NAME = "steps"
TITLE = f"Step time and memory floor of {headline.MODEL} at ctx {headline.CTX}"


def bars(rows: Iterable[FloorRow]) -> list[list[FloorRow]]:
    """Returns the rows of each GPU's panel."""
    return [_of_gpu(found) for found in headline.of_each_gpu(rows)]


def _of_gpu(found: list[FloorRow]) -> list[FloorRow]:
    plain = [row for row in found if headline.is_plain(row)]
    others = [row for row in found if row.quant == labels.UNQUANTISED and row.runtime != "eager"]
    quantised = [row for row in found if row.quant != labels.UNQUANTISED]
    by_runtime = headline.fastest(others, lambda row: row.runtime)
    return [*plain, *by_runtime, *headline.fastest(quantised, lambda row: row.quant)]


def draw(rows: Iterable[FloorRow]) -> Drawn:
    """Returns the figure of the rows of the floor table."""
    return Drawn(NAME, TITLE, "", stepbars.draw(bars(rows), one_scale=True))


def main(folder: Path) -> None:
    """Writes the figure."""
    path = folder / f"{NAME}.svg"
    path.write_bytes(svg(draw(headline.committed())))
    print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
