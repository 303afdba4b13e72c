"""The constants of the model as tables."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence

from analysis import terminaltable
from analysis.form import Column, markdown_table
from analysis.prediction.constants import Architecture, Constants
from analysis.row import Row
from runner.layout import WIDTH

Tables = Callable[[Sequence[Row], Sequence[Column]], list[str]]

PRODUCTS = (
    Column("quant", "quant"),
    Column("kernel", "kernel"),
    Column("bandwidth share", "share", ".3f"),
    Column("µs per MB", "us_per_mb", ".3f", hides_zero=True),
    Column("least µs", "fixed_us", ".2f", hides_zero=True),
)
PATHS = (
    Column("runtime", "runtime"),
    Column("cache", "cache"),
    Column("attention µs/layer", "attention_us", ".2f", hides_zero=True),
    Column("and µs/million", "attention_us_per_million", ".3f", hides_zero=True),
    Column("up to ctx", "ctx", "d"),
    Column("gap µs", "gap_us", ".2f"),
    Column("read-back ms", "readback_ms", ".3f"),
    Column("new length ms", "new_length_ms", ".1f", hides_zero=True),
)
REMAINDERS = (
    *(Column(name, name) for name in ("quant", "kernel", "runtime", "cache")),
    Column("kernels/layer", "kernels", ".3g"),
    Column("others µs/layer", "others_us", ".1f", hides_zero=True),
    Column("host µs/kernel", "issue_us", ".1f", hides_zero=True),
    Column("smallest share", "least_share", ".3f"),
    Column("GPUs", "measured_on"),
)
SPREADS = (
    Column("steps", "limit"),
    Column("held-out errors", "rows", "d"),
    Column("folds", "folds", "d"),
    Column("root mean square", "rms", ".3f"),
    Column("degrees of freedom", "freedom", ".1f"),
    Column("range", "range"),
)


EXPENDABLE = ("GPUs", "kernels/layer", "smallest share", "up to ctx", "new length ms", "folds", "root mean square")
"""Columns that a narrow terminal does without, the first to go first."""
MORE = "--format md shows every column; --format json also their sources"


def constants_text(constants: Constants) -> str:
    """Returns the constants as Markdown."""
    lines = (
        line for each in constants.architectures for line in _architecture(each, f"**{each.name}**", markdown_table)
    )
    return "\n".join(lines)


def constants_at_terminal(constants: Constants, width: int = WIDTH) -> str:
    """Returns the constants as aligned columns, as many as fit."""

    def table(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
        texts = [terminaltable.texts(column, rows) for column in columns]
        return terminaltable.lines(texts, EXPENDABLE, width)

    lines = [line for each in constants.architectures for line in _architecture(each, each.name, table)]
    above = (wrapped for line in lines for wrapped in (textwrap.wrap(line, width) or [""]))
    return "\n".join([*above, MORE]) + "\n"


def _architecture(known: Architecture, name: str, table: Tables) -> Iterator[str]:
    """Yields the lines of an architecture; `table` makes those of a table."""
    cards = ", ".join(f"{gpu} ({gbs:g} GB/s)" for gpu, gbs in known.gpus.items())
    sessions = sum(len(row.sessions) for row in known.rows)
    head = f"Products; the head is read at {known.head_share:.3f} of the bandwidth"
    yield from (f"{name} (compute capability {known.capability}), from {sessions} sessions of {cards}", "")
    yield from (f"{head}:", "", *table(known.products, PRODUCTS), "")
    yield from ("Runtimes:", "", *table(known.paths, PATHS), "")
    yield from ("Configurations:", "", *table(known.remainders, REMAINDERS), "")
    yield from ("Errors of rows that were held out, as logarithms:", "", *table(known.spreads, SPREADS), "")
    if known.probe_correlation is not None:
        yield (
            "Correlation of the launch probe with the host's time per kernel, over the sessions that the host paces: "
            f"{known.probe_correlation:.2f}."
        )
        yield ""
